//! `wwctl overlay info`: which variables a template uses, what they are, and which flag of `wwctl node set` gives them.

mod types;
mod walk;

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::Args;
use render::template::Template;

use super::say;
use super::tree::{existing, overlay};
use crate::build::plain;
use crate::cli::table;
use crate::site::Site;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of the overlay
    overlay: String,
    /// The template; its name ends in .ww
    path: String,
}

pub fn run(site: &Site, arguments: &Arguments) -> anyhow::Result<()> {
    let found = overlay(site, &arguments.overlay)?;
    let full = existing(&found, &arguments.path)?;
    if !arguments.path.ends_with(".ww") {
        bail!("overlay {}: {} is no template: its name does not end in .ww", found.name, arguments.path);
    }
    let (content, _) = plain::content(&full, u64::MAX).with_context(|| full.display().to_string())?;
    let template = Template::parse(&full.to_string_lossy(), &content, &render::host::functions())?;
    say(told(&template, &full.to_string_lossy(), &String::from_utf8_lossy(&content)));
    Ok(())
}

/// What is told of a template that was read from `name`.
fn told(template: &Template, name: &str, text: &str) -> String {
    let (docs, helps) = comments(text);
    let rows: Vec<Vec<String>> = walk::variables(template, name)
        .into_iter()
        // Of what is not known somebody's own words may tell.
        .filter(|(name, known)| known.is_some() || helps.contains_key(name))
        .map(|(name, known)| {
            let (_, kind, option, help) = known.unwrap_or_default();
            let help = helps.get(&name).cloned().unwrap_or_else(|| help.to_owned());
            vec![name, option.to_owned(), kind.to_owned(), help]
        })
        .collect();
    let mut told = docs.iter().map(|doc| format!("{doc}\n")).collect::<String>();
    if !docs.is_empty() {
        told.push('\n');
    }
    let table = table::plain(&["VARIABLE", "OPTION", "TYPE", "HELP"], &rows);
    told.push_str(table.strip_suffix('\n').unwrap_or(&table));
    told
}

/// What `{{/* wwdoc: TEXT */}}` and its like (`wwdoc2`, `wwdoc-details`) say, in the order of their names, and what
/// `{{/* .Var: HELP */}}` says.
fn comments(text: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut docs, mut helps) = (Vec::new(), BTreeMap::new());
    let mut rest = text;
    // Only what stands in braces is a comment of the template; all other text is the file's.
    while let Some((_, behind)) = rest.split_once("{{") {
        rest = behind;
        let inner = behind.strip_prefix('-').unwrap_or(behind).trim_start();
        let Some((comment, behind)) = inner.strip_prefix("/*").and_then(|inner| inner.split_once("*/")) else {
            continue;
        };
        rest = behind;
        let Some((name, words)) = comment.trim().split_once(':') else { continue };
        let (name, words) = (name.trim(), words.split_whitespace().collect::<Vec<_>>().join(" "));
        if name.contains("wwdoc") {
            docs.push((name.to_owned(), words));
        } else if name.starts_with(['.', '$']) {
            helps.insert(name.to_owned(), words);
        }
    }
    docs.sort_by(|(a, _), (b, _)| a.cmp(b));
    (docs.into_iter().map(|(_, words)| words).collect(), helps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> String {
        let template = Template::parse("/o/x.ww", text.as_bytes(), &render::host::functions()).unwrap();
        told(&template, "/o/x.ww", text)
    }

    const HEAD: &str = "VARIABLE        OPTION  TYPE    HELP\n--------        ------  ----    ----\n";

    #[test]
    fn comments_give_help() {
        let (docs, helps) = comments(
            "{{/* wwdoc-more: And more. */}}{{/* wwdoc: What this is. */}}{{- /* .Id: name of\n the machine */ -}}{{/* note */}}",
        );
        assert_eq!(docs, ["What this is.", "And more."]);
        let (docs, others) =
            comments("/* .Id: of the file */ {{ .Id }} {{- /* wwdoc: all of /etc/* */}}{{/* wwdoc: b */}}{{/*");
        assert_eq!((docs, others), (vec!["all of /etc/*".to_owned(), "b".to_owned()], BTreeMap::new()));
        assert_eq!(helps.into_iter().collect::<Vec<_>>(), [(".Id".to_owned(), "name of the machine".to_owned())]);
    }

    #[test]
    fn words_about_the_template_come_first_and_the_table_has_no_blank_line_behind_it() {
        let text =
            "{{/* wwdoc1: First */}}{{/* wwdoc2: Second */}}{{/* .Kernel.Tags.foo: no such */}}{{ .Node.Tags.bar }}";
        assert_eq!(info(text), format!("First\nSecond\n\n{HEAD}.Node.Tags.bar          string\n"));
        assert_eq!(info("text"), "VARIABLE  OPTION  TYPE  HELP\n--------  ------  ----  ----\n");
    }

    #[test]
    fn the_dot_and_the_variables_of_a_range_have_the_type_of_what_is_in_it() {
        let text =
            "{{range $name, $dev := .NetDevs}}{{$name}}{{.Ipaddr}}{{$dev.OnBoot.BoolDefaultTrue}}{{$.Ipaddr}}{{end}}
            {{range .ThisNode.DiskList}}{{range .PartitionList}}{{.SizeMiB}}{{end}}{{end}}
            {{$all := .AllNodes}}{{range $node := $all}}{{$node.Kernel.Args}}{{end}}";
        let told = info(text);
        let shown: Vec<String> =
            told.lines().skip(2).map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            shown,
            [
                "$.Ipaddr string",
                "$dev.OnBoot --onboot wwtype.WWbool",
                "$node.Kernel.Args --kernelargs []string",
                ".AllNodes []node.Node",
                ".Ipaddr --ipaddr IP",
                ".NetDevs map[string]*node.NetDev",
                ".PartitionList []*node.Partition",
                ".SizeMiB --partsize uint",
                ".ThisNode.DiskList []*node.Disk",
            ]
        );
    }

    #[test]
    fn what_is_not_known_has_a_row_only_where_a_comment_tells_of_it() {
        let text = "{{/* $x: mine */}}{{$x := 1}}{{$x}}{{.Nothing}}{{range index .NetDevs \"a\" | list}}{{.Mtu}}{{end}}
            {{define \"d\"}}{{.Id}}{{end}}{{with .Kernel}}{{.Version}}{{end}}";
        let told = info(text);
        let names: Vec<&str> = told.lines().skip(2).filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, ["$x", ".Kernel", ".NetDevs", ".Version"]);
    }
}
