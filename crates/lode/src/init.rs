//! `lode init`: a working example app.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::Failure;

const FILES: [(&str, &str); 5] = [
    ("collections/books/onPreSave.js", include_str!("template/collections/books/onPreSave.js")),
    ("endpoints/hello.js", include_str!("template/endpoints/hello.js")),
    ("books.test.js", include_str!("template/books.test.js")),
    ("types/lode.d.ts", include_str!("../../../types/lode.d.ts")),
    ("types/lode-test.d.ts", include_str!("../../../types/lode-test.d.ts")),
];

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder to make.
    path: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let folder = &arguments.path;
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", folder.display()));
    if folder.exists() && fs::read_dir(folder).map_err(failed)?.next().is_some() {
        let what = "there is something in it already";
        return Err(Failure::usage(format!("{}: {what}", folder.display())));
    }
    for (name, text) in FILES {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, text).map_err(failed)?;
    }
    let folder = folder.display();
    println!("{folder} is there. Next:");
    println!("  lode test {folder}");
    println!("  lode dev {folder}");
    Ok(0)
}
