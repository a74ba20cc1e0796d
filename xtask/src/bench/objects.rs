//! Programs in C that the benchmarks load into the kernel.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{setup, shell};

/// Compiled objects, by the name under which the benchmarks know them.
pub struct Objects(Vec<(&'static str, PathBuf)>);

impl Objects {
    pub fn compile(floor: Option<&Path>) -> anyhow::Result<Self> {
        setup::install_clang()?;
        let folder = shell::root().join("target/bench");
        fs::create_dir_all(&folder)?;
        let mut objects = vec![];
        for name in ["vary", "maps"] {
            let source = shell::root().join(format!("benches/src/kernel/{name}.c"));
            objects.push((name, compile(&fs::read_to_string(source)?, &folder.join(name))?));
        }
        if let Some(floor) = floor {
            let source = fs::read_to_string(floor).with_context(|| floor.display().to_string())?;
            // The loader knows the programs of TC by another name of their section.
            let source = source.replace("SEC(\"tc\")", "SEC(\"classifier\")");
            objects.push(("floor", compile(&source, &folder.join("floor"))?));
        }
        Ok(Self(objects))
    }

    /// As the benchmarks take them: `NAME=PATH`.
    pub fn arguments(&self) -> impl Iterator<Item = OsString> {
        self.0.iter().map(|(name, path)| super::argument(name, path))
    }
}

fn compile(source: &str, stem: &Path) -> anyhow::Result<PathBuf> {
    let (input, object) = (stem.with_extension("c"), stem.with_extension("o"));
    fs::write(&input, source)?;
    // Debian keeps <asm/types.h> in the folder of the host's architecture.
    let include = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    shell::run(
        Command::new(setup::CLANG)
            .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-DATOMIC", &include, "-c"])
            .arg(&input)
            .arg("-o")
            .arg(&object),
    )?;
    Ok(object)
}
