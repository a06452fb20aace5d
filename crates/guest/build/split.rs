//! Splits a linked module into the module without its data segments, and those segments.

use wasm_encoder::{Module, RawSection};
use wasmparser::{ConstExpr, DataKind, Operator, Parser, Payload};

/// One active data segment: `bytes` belong at `offset` of the linear memory.
pub(crate) struct Segment {
    pub(crate) offset: u32,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Engine {
    pub(crate) module: Vec<u8>,
    pub(crate) segments: Vec<Segment>,
}

pub(crate) fn split(linked: &[u8]) -> Result<Engine, String> {
    let mut module = Module::new();
    let mut segments = Vec::new();
    for payload in Parser::new(0).parse_all(linked) {
        let payload = payload.map_err(|e| e.to_string())?;
        match &payload {
            Payload::DataSection(section) => {
                for data in section.clone() {
                    let data = data.map_err(|e| e.to_string())?;
                    let DataKind::Active { memory_index: 0, offset_expr } = data.kind else {
                        return Err("the engine has a passive data segment: strip it too".into());
                    };
                    let offset = constant(&offset_expr)?;
                    segments.push(Segment { offset, bytes: data.data.to_vec() });
                }
                continue;
            }
            // Only `memory.init` and `data.drop` need the count, and they need passive segments.
            Payload::DataCountSection { .. } => continue,
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    let import = import.map_err(|e| e.to_string())?;
                    if import.module != "lode" {
                        return Err(format!(
                            "the engine imports {}.{}: only `lode` is offered",
                            import.module, import.name
                        ));
                    }
                }
            }
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            module.section(&RawSection { id, data: &linked[range] });
        }
    }
    let module = module.finish();
    wasmparser::validate(&module).map_err(|e| format!("the split module is invalid: {e}"))?;
    Ok(Engine { module, segments })
}

fn constant(expression: &ConstExpr<'_>) -> Result<u32, String> {
    match expression.get_operators_reader().read() {
        Ok(Operator::I32Const { value }) => Ok(value.cast_unsigned()),
        other => Err(format!("a data segment's offset is not a constant: {other:?}")),
    }
}
