//! The commit that is built. The test suite includes this file: it is what the build script goes by.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The commit of a checkout, with `-dirty` where a file of it was changed; `None` where the folder is not the top of a
/// checkout (a folder inside of another project's says nothing), or git cannot be run.
pub(crate) fn commit(folder: &Path) -> Option<String> {
    let top = PathBuf::from(git(folder, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != folder.canonicalize().ok()? {
        return None;
    }
    let commit = git(folder, &["rev-parse", "HEAD"])?;
    let changes = git(folder, &["status", "--porcelain", "--untracked-files=no"])?;
    let dirty = if changes.is_empty() { "" } else { "-dirty" };
    Some(commit + dirty)
}

/// The files that change when the commit does.
pub(crate) fn witnesses(folder: &Path) -> Vec<PathBuf> {
    let branch = git(folder, &["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "packed-refs", "index"].into_iter();
    let names = names.map(str::to_owned).chain(branch);
    let paths = names.filter_map(|name| git(folder, &["rev-parse", "--git-path", &name]));
    // Git tells a path from the folder. What is not there would make cargo build each time.
    let paths = paths.map(|path| folder.join(path));
    paths.filter(|path| path.exists()).collect()
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // Hooks of git set these, and they would win over the folder.
    for variable in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
        "GIT_PREFIX",
    ] {
        command.env_remove(variable);
    }
    // Looking must not write: others may be at work in the checkout.
    command.env("GIT_OPTIONAL_LOCKS", "0");
    let output = command.arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
