//! A variant in QuickJS-ng compiled for this machine: what the sandbox is compared with.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::{Declared, Module};
use rquickjs::promise::PromiseState;
use rquickjs::{Context, Ctx, Error, Function, Object, Result, Runtime, Value};

use crate::sandboxed::global_names;
use crate::suite::{Variant, resolve};
use crate::verdict::Ending;

/// What evaluates a test, on both sides.
pub(crate) const RUNNER: &str = include_str!("runner.js");

/// Natively a call's frames lie on this stack; callers give their threads four times as much.
pub(crate) const STACK_BYTES: usize = 1 << 20;

const MEMORY_BYTES: usize = 256 << 20;

/// Runs a variant in an engine of its own, for at most `wall`. `Err` when there is none.
pub(crate) fn run(variant: &Variant, wall: Duration) -> Result<Ending> {
    let runtime = Runtime::new()?;
    runtime.set_max_stack_size(STACK_BYTES);
    runtime.set_memory_limit(MEMORY_BYTES);
    let (timed_out, started) = (Rc::new(Cell::new(false)), Instant::now());
    let flag = timed_out.clone();
    runtime.set_interrupt_handler(Some(Box::new(move || {
        flag.set(started.elapsed() > wall);
        flag.get()
    })));
    let imports = variant.imports.clone();
    runtime.set_loader(Imports, Files(imports));
    let answer = Rc::new(RefCell::new(None));
    let context = Context::full(&runtime)?;
    let evaluated = context.with(|ctx| evaluate(&ctx, variant, &answer));
    if timed_out.get() {
        return Ok(Ending::Limit("cpu".into()));
    }
    if let Some(ending) = evaluated? {
        return Ok(ending);
    }
    let answer = answer.borrow();
    Ok(answer.as_deref().map_or(Ending::Never, Ending::answered))
}

/// What is known besides what the runner answered.
fn evaluate<'js>(
    ctx: &Ctx<'js>,
    variant: &Variant,
    answer: &Rc<RefCell<Option<String>>>,
) -> Result<Option<Ending>> {
    let mut options = rquickjs::context::EvalOptions::default();
    // As in the sandbox: the runner's file lies in the test's folder.
    options.filename = resolve(&variant.path, "./run.cjs");
    options.strict = false;
    let runner: Object = ctx.eval_with_options(RUNNER, options)?;
    let answer = answer.clone();
    let said = Function::new(ctx.clone(), move |text: String| {
        answer.borrow_mut().get_or_insert(text);
    })?;
    let ended = if variant.mode == "module" {
        runner.get::<_, Function>("prepare")?.call::<_, ()>((said.clone(),))?;
        ctx.eval::<Value, _>(format!(
            "(0, eval)({})",
            serde_json::json!(global_names(&variant.harness))
        ))?;
        module(ctx, variant)
    } else {
        let run: Function = runner.get("run")?;
        run.call::<_, ()>((variant.text.as_str(), variant.waits, said.clone())).map(|()| None)
    };
    while ctx.execute_pending_job() {}
    let thrown = match ended {
        Ok(None) => return Ok(None),
        Ok(Some(promise)) => match promise.state() {
            PromiseState::Pending => return Ok(Some(Ending::Never)),
            PromiseState::Resolved => {
                return Ok((!variant.waits).then_some(Ending::Completed));
            }
            PromiseState::Rejected => match promise.result::<Value>() {
                Some(Err(Error::Exception)) => ctx.catch(),
                _ => return Ok(Some(Ending::Platform("a rejection without a reason".into()))),
            },
        },
        Err(Error::Exception) => ctx.catch(),
        Err(error) => return Ok(Some(Ending::Threw(format!("{error}")))),
    };
    let text: String = runner.get::<_, Function>("describe")?.call((thrown,))?;
    Ok(Some(Ending::Threw(text)))
}

fn module<'js>(ctx: &Ctx<'js>, variant: &Variant) -> Result<Option<rquickjs::Promise<'js>>> {
    let declared = Module::declare(ctx.clone(), variant.path.as_str(), variant.text.as_str())?;
    declared.eval().map(|(_, promise)| Some(promise))
}

struct Imports;

impl Resolver for Imports {
    fn resolve<'js>(
        &mut self,
        _: &Ctx<'js>,
        base: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<String> {
        resolve(base, name).ok_or_else(|| Error::new_resolving(base, name))
    }
}

struct Files(BTreeMap<String, String>);

impl Loader for Files {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<Module<'js, Declared>> {
        let text = self.0.get(name).ok_or_else(|| Error::new_loading(name))?;
        if name.ends_with(".json") {
            ctx.json_parse(text.as_str())?;
            return Module::declare(ctx.clone(), name, format!("export default {text}"));
        }
        Module::declare(ctx.clone(), name, text.as_str())
    }
}
