//! Updates of a packaged agent, by Debian's own tools in a tree of the story's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::agent::{self, exit};
use e2e::board::{Board, WELL_WITHIN};
use e2e::places;

use crate::taken_back::is_taken_back;

/// A package of a program, made by Debian's own tools.
fn package(dir: &Path, program: &Path, version: &str) -> PathBuf {
    let tree = dir.join(format!("tree-{version}"));
    fs::create_dir_all(tree.join("DEBIAN")).expect("a folder of our own");
    fs::create_dir_all(tree.join("usr/bin")).expect("a folder of our own");
    fs::copy(program, tree.join("usr/bin/tidegate")).expect("a program can be copied");
    let control = format!(
        "Package: tidegate\nVersion: {version}\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n"
    );
    fs::write(tree.join("DEBIAN/control"), control).expect("a file of our own");
    let deb = dir.join(format!("tidegate_{version}_all.deb"));
    let words = ["--root-owner-group", "-Znone", "--build"];
    let output = Command::new("dpkg-deb").args(words).arg(&tree).arg(&deb).output().expect("dpkg-deb is installed");
    assert!(output.status.success(), "{}", agent::stderr(&output));
    deb
}

#[test]
fn a_package_is_handed_to_dpkg_and_the_one_before_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let admin = root.join("var/lib/dpkg");
    fs::create_dir_all(admin.join("info")).unwrap();
    fs::create_dir_all(admin.join("updates")).unwrap();
    fs::create_dir_all(root.join("usr")).unwrap();
    fs::write(admin.join("status"), "").unwrap();
    // The program's place is the one in dpkg's tree.
    let dpkg = ["dpkg", "--force-not-root", "--force-confold"].map(|word| format!("\"{word}\"")).join(", ");
    let lines = format!(
        "{WELL_WITHIN}\npackage = [{dpkg}, \"--instdir={0}\", \"--admindir={0}/var/lib/dpkg\", \"--log=/dev/null\", \"-i\"]",
        root.display()
    );
    let mut board = Board::made(dir.path(), "", &lines);
    fs::rename(dir.path().join("bin"), root.join("usr/bin")).unwrap();
    std::os::unix::fs::symlink(root.join("usr/bin"), dir.path().join("bin")).unwrap();
    let [one, two] = ["one", "two"].map(|name| board.rebuilt(name));
    let packages = [package(dir.path(), &one, "1.0-1"), package(dir.path(), &two, "2.0-1")];
    board.start();
    let version = || {
        let output = Command::new("dpkg-query")
            .arg(format!("--admindir={}", admin.display()))
            .args(["-W", "-f", "${Version} ${Status}", "tidegate"])
            .output()
            .unwrap();
        agent::stdout(&output)
    };
    for (package, (program, shown)) in packages.iter().zip([(&one, "1.0-1"), (&two, "2.0-1")]) {
        board.stage(package, &["--version", "1.0.0"]);
        let installed = board.install(&[]);
        assert_eq!(installed.code, Some(0), "{}\n{}", installed.said, board.log_tail());
        assert_eq!(board.installed(), fs::read(program).unwrap());
        assert_eq!(version(), format!("{shown} install ok installed"));
    }
    let config = dir.path().join("tidegate.toml");
    fs::write(&config, places::text(&config).replace("health_within = \"90s\"", "health_within = \"3s\"")).unwrap();
    let bad = package(dir.path(), &board.broken("bad", "exit 1"), "3.0-1");
    is_taken_back(&board, &bad, "has not answered");
    assert_eq!(version(), "2.0-1 install ok installed", "dpkg knows that it is back");
    // Neither dpkg nor what it was given is of any use: the program alone goes back.
    let half = dir.path().join("half.deb");
    fs::write(&half, &fs::read(&packages[0]).unwrap()[..20_000]).unwrap();
    board.stage(&half, &["--version", "1.0.0"]);
    assert_eq!(board.install(&[]).code, Some(exit::NOT_FINE));
    assert_eq!(board.update()["state"], "failed", "it does not even unpack");
    assert_eq!(board.installed(), fs::read(&two).unwrap());
}
