//! `tidegate completions bash|zsh|fish`: what a shell wants to complete `tidegate` by TAB. A few lines that ask this program
//! itself what could come next, so that they never know less than it does.
//!
//! bash: `tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate`; zsh: into a folder of `$fpath`
//! as `_tidegate`; fish: `~/.config/fish/completions/tidegate.fish`. The packages put them in place.

use std::io::Write as _;

use clap::{Arg, ArgAction, Args as ClapArgs, Command, ValueEnum};

use super::Exit;

/// For whom.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
    /// The words up to the cursor, for the shells' scripts
    #[arg(last = true, hide = true)]
    words: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    /// What could stand where the cursor is, a line each: the word, a tab, what it is
    #[value(hide = true)]
    Words,
}

/// Where no word of ours comes next, files do.
const BASH: &str = r#"_tidegate() {
    local IFS=$'\n' words
    words=$("${COMP_WORDS[0]}" completions words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -o bashdefault -F _tidegate tidegate
"#;
const ZSH: &str = r#"#compdef tidegate
_tidegate() {
    local -a found
    local line
    for line in "${(@f)$("${words[1]}" completions words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -n $line ]] && found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    if (( $#found )); then _describe tidegate found; else _files; fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _tidegate "$@"; else compdef _tidegate tidegate; fi
"#;
const FISH: &str = r"function __tidegate_words
    set -l line (commandline -opc) (commandline -ct)
    set -l found ($line[1] completions words -- $line[2..-1] 2>/dev/null)
    if set -q found[1]
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c tidegate -f -a '(__tidegate_words)'
";

/// The scripts with the names that the shells look for.
pub(super) const SCRIPTS: [(&str, &str); 3] = [("tidegate.bash", BASH), ("_tidegate", ZSH), ("tidegate.fish", FISH)];

pub fn main(args: &Args, root: Command) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    match args.shell {
        Shell::Bash => write!(out, "{BASH}")?,
        Shell::Zsh => write!(out, "{ZSH}")?,
        Shell::Fish => write!(out, "{FISH}")?,
        Shell::Words => {
            for (word, about) in next(root, &args.words) {
                writeln!(out, "{word}\t{about}")?;
            }
        }
    }
    out.flush()?;
    Ok(Exit::Fine)
}

/// What could be the last of these words, whose beginning may be there already, each with what it is.
fn next(mut root: Command, words: &[String]) -> Vec<(String, String)> {
    root.build();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut command = &root;
    let mut awaits: Option<&Arg> = None;
    let mut given = 0;
    for word in before {
        if awaits.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            awaits = option(command, word).filter(|arg| takes_value(arg));
        } else if let Some(below) = command.find_subcommand(word) {
            (command, given) = (below, 0);
        } else {
            given += 1;
        }
    }
    let found: Vec<(String, String)> = match awaits {
        Some(arg) => values(arg),
        None if last.starts_with('-') => options(command),
        None => {
            let below = command.get_subcommands().filter(|below| !below.is_hide_set());
            let below = below.map(|below| (below.get_name().to_owned(), about(below.get_about())));
            below.chain(command.get_positionals().nth(given).into_iter().flat_map(values)).collect()
        }
    };
    found.into_iter().filter(|(word, _)| word.starts_with(last)).collect()
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

fn option<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let long = word.strip_prefix("--");
    let short = word.strip_prefix('-').and_then(|rest| rest.chars().last());
    command.get_arguments().find(|arg| match long {
        Some(long) => arg.get_long() == Some(long),
        None => short.is_some() && arg.get_short() == short,
    })
}

fn options(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let named = |arg: &Arg| {
        let name = arg.get_long().map(|long| format!("--{long}"));
        let name = name.or_else(|| arg.get_short().map(|short| format!("-{short}")))?;
        Some((name, about(arg.get_help())))
    };
    shown.filter_map(named).collect()
}

fn values(arg: &Arg) -> Vec<(String, String)> {
    let shown = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    shown.map(|value| (value.get_name().to_owned(), about(value.get_help()))).collect()
}

/// In one line.
pub(super) fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().replace(['\n', '\t'], " ")
}
