//! Shells complete commands, options and values, and man pages can be read.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::agent;
use e2e::places;

/// Runs a script in a shell that finds `tidegate` on its path; gives what it prints.
#[track_caller]
fn said(dir: &Path, words: &[&str]) -> String {
    let bin = dir.join("bin");
    if !bin.is_dir() {
        fs::create_dir(&bin).expect("it is the story's own");
        symlink(places::tidegate(), bin.join("tidegate")).expect("it is the story's own");
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("it is the story's own"));
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("PATH", path).env("HOME", dir).current_dir(dir).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(output.status.success(), "{words:?}: {}", agent::stderr(&output));
    assert_eq!(agent::stderr(&output), "", "{words:?}");
    agent::stdout(&output)
}

#[test]
fn bash_completes_commands_options_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let complete = |words: &str| -> Vec<String> {
        let count = words.split(' ').count() - 1;
        let script = format!(
            "source <(tidegate completions bash); COMP_WORDS=({}); COMP_CWORD={count}; _tidegate; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.split(' ').map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
        );
        said(dir.path(), &["bash", "-uc", &script]).lines().map(str::to_owned).collect()
    };
    assert_eq!(complete("tidegate sta"), ["status"]);
    assert_eq!(complete("tidegate --config /x.toml sinks quarantine d"), ["drop"]);
    assert_eq!(complete("tidegate tail --inst"), ["--instrument"]);
    assert_eq!(complete("tidegate completions "), ["bash", "zsh", "fish"]);
    // A file, for which the shell itself has the words.
    assert_eq!(complete("tidegate support-bundle --output x"), [""]);
    let all = complete("tidegate ");
    let help = said(dir.path(), &["tidegate", "--help"]);
    for command in ["run", "status", "journal", "man"] {
        assert!(all.iter().any(|word| word == command) && help.contains(command), "{command}: {all:?}");
    }
    let bound = said(dir.path(), &["bash", "-euc", "source <(tidegate completions bash); complete -p tidegate"]);
    assert!(bound.contains("-F _tidegate tidegate"), "{bound}");
}

#[test]
fn fish_completes_and_zsh_takes_the_script() {
    let dir = tempfile::tempdir().unwrap();
    let script =
        "tidegate completions fish | source; complete -C 'tidegate sta'; complete -C 'tidegate sinks quarantine d'";
    let words = said(dir.path(), &["fish", "--no-config", "-c", script]);
    let found: Vec<&str> = words.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(found, ["status", "drop"], "{words}");
    fs::write(dir.path().join("_tidegate"), said(dir.path(), &["tidegate", "completions", "zsh"])).unwrap();
    said(dir.path(), &["zsh", "-n", "_tidegate"]);
    // The words that zsh would show, by its own way of taking the answer apart.
    let script = "autoload -Uz compinit; compinit -D -u; _describe() { print -l $found }; source ./_tidegate; \
                  words=(tidegate sinks quarantine d); CURRENT=4; _tidegate";
    let words = said(dir.path(), &["zsh", "-fc", script]);
    assert!(words.starts_with("drop:"), "{words}");
}

#[test]
fn man_pages_are_in_order_and_name_every_command() {
    let dir = tempfile::tempdir().unwrap();
    said(dir.path(), &["tidegate", "man", "--output", "pages"]);
    let mut pages: Vec<_> =
        fs::read_dir(dir.path().join("pages")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    let names: Vec<&str> = pages.iter().filter_map(|page| page.file_name()?.to_str()).collect();
    for name in ["tidegate.1", "tidegate-status.1", "tidegate-sinks-quarantine-drop.1", "tidegate-journal-stat.1"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("probe") && name.contains("journal")), "hidden: {names:?}");
    for page in &pages {
        let page = page.to_str().unwrap();
        let lint = Command::new("mandoc").args(["-T", "lint", "-W", "error", page]).output().unwrap();
        assert!(lint.status.success(), "{page}: {}", agent::stdout(&lint));
    }
    let read = said(dir.path(), &["mandoc", "-T", "ascii", "pages/tidegate-tail.1"]);
    assert!(read.contains("Readings and events from the journal") && read.contains("RFC 3339"), "{read}");
    let whole = said(dir.path(), &["tidegate", "man"]);
    assert_eq!(whole, places::text(&dir.path().join("pages/tidegate.1")));
}
