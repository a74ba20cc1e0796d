//! What a machine boots into: as much as it takes to get at the files of the host.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use super::kernel::{Kernel, empty_directory, unpack};

/// The host's files come by virtiofs; what the guest writes goes into an overlay. All other modules
/// are loaded from there, by the kernel's own asking.
const MODULES: [&str; 3] = ["virtio_pci", "virtiofs", "overlay"];

/// Packs the first file system of a machine that will run a script.
pub fn write(kernel: &Kernel, guest: &str) -> anyhow::Result<PathBuf> {
    let busybox = unpack("busybox-static")?.join("bin/busybox");
    let root = kernel.directory.join("initramfs");
    empty_directory(&root)?;
    fs::create_dir(root.join("bin"))?;
    fs::copy(&busybox, root.join("bin/busybox")).with_context(|| busybox.display().to_string())?;
    fs::write(root.join("guest.sh"), guest)?;
    write_program(&root.join("init"), include_str!("init.sh"))?;
    fs::create_dir(root.join("modules"))?;
    let mut names =
        ["bin", "bin/busybox", "guest.sh", "init", "modules"].map(String::from).to_vec();
    for (index, module) in kernel.module_files(&MODULES)?.iter().enumerate() {
        // The guest loads them in the order of their names.
        let name = format!("modules/{index:02}.ko");
        copy_module(module, &root.join(&name))?;
        names.push(name);
    }
    pack(&busybox, &root, &names)
}

fn write_program(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// Copies a module, decompressed: not every kernel can do that by itself.
fn copy_module(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.extension().is_some_and(|extension| extension == "xz") {
        let status = Command::new("xz")
            .args(["--decompress", "--stdout"])
            .arg(from)
            .stdout(fs::File::create(to)?)
            .status()?;
        ensure!(status.success(), "cannot decompress {}", from.display());
    } else {
        fs::copy(from, to).with_context(|| from.display().to_string())?;
    }
    Ok(())
}

fn pack(busybox: &Path, root: &Path, names: &[String]) -> anyhow::Result<PathBuf> {
    let archive = root.with_extension("cpio");
    let mut cpio = Command::new(busybox)
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(&archive)?)
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = cpio.stdin.take() {
        stdin.write_all(names.join("\n").as_bytes())?;
    }
    ensure!(cpio.wait()?.success(), "cannot pack {}", archive.display());
    Ok(archive)
}
