//! Splits a linked module into the module without its data segments, and those segments.

use wasm_encoder::{Module, RawSection};
use wasmparser::{ConstExpr, DataKind, ExternalKind, FunctionBody, Operator, Parser, Payload};

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
    let (mut mutable, mut exported) = (Vec::new(), Vec::new());
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
            Payload::GlobalSection(section) => {
                for (index, global) in (0_u32..).zip(section.clone()) {
                    if global.map_err(|e| e.to_string())?.ty.mutable {
                        mutable.push(index);
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(|e| e.to_string())?;
                    if export.kind == ExternalKind::Global {
                        exported.push(export.index);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => keeps_tables(body)?,
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            module.section(&RawSection { id, data: &linked[range] });
        }
    }
    if mutable.is_empty() || mutable != exported {
        return Err(format!(
            "the host resets what a run can change: the globals {mutable:?}, not {exported:?}"
        ));
    }
    let module = module.finish();
    wasmparser::validate(&module).map_err(|e| format!("the split module is invalid: {e}"))?;
    Ok(Engine { module, segments })
}

/// An instance serves one run after the other (crates/sandbox/src/guest.rs): all that code changes must
/// be what the host resets, its memory and its exported globals.
fn keeps_tables(body: &FunctionBody<'_>) -> Result<(), String> {
    let mut operators = body.get_operators_reader().map_err(|e| e.to_string())?;
    while !operators.eof() {
        match operators.read().map_err(|e| e.to_string())? {
            Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::ElemDrop { .. } => return Err("the engine changes its table".into()),
            _ => {}
        }
    }
    Ok(())
}

fn constant(expression: &ConstExpr<'_>) -> Result<u32, String> {
    match expression.get_operators_reader().read() {
        Ok(Operator::I32Const { value }) => Ok(value.cast_unsigned()),
        other => Err(format!("a data segment's offset is not a constant: {other:?}")),
    }
}
