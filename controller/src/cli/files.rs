//! Entries as a file: `node export`, `node import`, and `edit` of nodes and profiles.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use model::nodes::{node_doc, profile_doc};
use model::yaml::{Doc, yaml};
use model::{Node, NodesConf, fields, hostlist, merge};

use super::change::{Kind, told};
use super::say;
use crate::site::Site;
use crate::store::nodes;

/// Prints merged nodes as YAML.
pub fn export(site: &Site, words: &[String]) -> anyhow::Result<()> {
    let conf = nodes::load(site)?;
    let wanted: BTreeSet<String> = hostlist::expand(words).into_iter().collect();
    let shown = conf.all_merged().into_iter().filter(|node| words.is_empty() || wanted.contains(&node.id));
    let doc = Doc::named(shown.map(|node| (node.id.clone(), node_doc(&node))));
    say::answer(&yaml(&doc, 2, 0))
}

/// Takes nodes from a file.
pub fn import(site: &Site, file: &Path, yes: bool) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let new = NodesConf::parse_entries(&text, false).with_context(|| file.display().to_string())?;
    left_out(&new, &format!("{}: ", file.display()));
    let names: Vec<String> = new.nodes.keys().cloned().collect();
    if names.is_empty() {
        say::warn(format_args!("{} names no nodes", file.display()));
        return Ok(());
    }
    if !yes && !say::ask(&format!("Import {} node(s): {}", names.len(), hostlist::fold(&names)))? {
        return Ok(());
    }
    let edit = |conf: &mut NodesConf| {
        let before = conf.clone();
        for (name, from) in &new.nodes {
            let fresh = || Node { id: name.clone(), ..Node::default() };
            merge::import(conf.nodes.entry(name.clone()).or_insert_with(fresh), from);
        }
        Ok((before, conf.clone()))
    };
    let ((before, after), written) = nodes::change(site, edit)?;
    told(site, Kind::Node, (&before, &after), &names, written);
    say::reload(site);
    Ok(())
}

/// Says which keys of the text go no further than this.
fn left_out(new: &NodesConf, file: &str) {
    for key in new.unknown() {
        let (line, column, field) = (key.line, key.column, &key.field);
        say::warn(format_args!("{file}line {line}, column {column}: {field}: nobody knows this key; it is left out"));
    }
    for above in ["nodes", "nodeprofiles"].iter().filter(|above| new.nodes.contains_key(**above)) {
        say::warn(format_args!(
            "{file}{above} is taken for the name of a node: entries stand here without a key above them"
        ));
    }
}

/// Lets an editor change entries; those that it takes out are deleted, those that it adds are added.
pub fn edit(site: &Site, kind: Kind, words: &[String], header: bool) -> anyhow::Result<()> {
    let conf = nodes::load(site)?;
    let wanted: BTreeSet<String> = kind.names(words).into_iter().collect();
    let shown = picked(&conf, kind, |name| words.is_empty() || wanted.contains(name));
    let before = text_of(&shown, kind);
    let folder = tempfile::tempdir().context("make a folder to edit in")?;
    let file = folder.path().join("entries.yaml");
    std::fs::write(&file, if header { head(kind) + &before } else { before.clone() })?;
    let new = loop {
        run_editor(&file)?;
        // By its name: many editors write a new file and rename it over the old one.
        let text = std::fs::read_to_string(&file).context("read what the editor left")?;
        match NodesConf::parse_entries(&text, kind == Kind::Profile) {
            Ok(new) => break new,
            Err(error) => {
                say::warn(error);
                if !say::ask("Edit again")? {
                    return Ok(());
                }
            }
        }
    };
    if text_of(&new, kind) == before {
        return Ok(());
    }
    left_out(&new, "");
    let names = |conf: &NodesConf| -> Vec<String> {
        match kind {
            Kind::Node => conf.nodes.keys().cloned().collect(),
            Kind::Profile => conf.profiles.keys().cloned().collect(),
        }
    };
    let (old_names, new_names) = (names(&shown), names(&new));
    if !say::ask(&format!("Write {} {}(s)", new_names.len(), kind.word()))? {
        return Ok(());
    }
    let edit = |conf: &mut NodesConf| {
        let before = conf.clone();
        for name in &old_names {
            if kind.entry(conf, name) != kind.entry(&shown, name) {
                bail!("{} {name} was changed by somebody else meanwhile; nothing was written", kind.word());
            }
        }
        for name in old_names.iter().filter(|name| !new_names.contains(name)) {
            kind.take(conf, name);
        }
        for name in &new_names {
            let Some(entry) = kind.entry(&new, name) else { continue };
            if !old_names.contains(name) && kind.entry(conf, name).is_some() {
                bail!("{} {name} was not among those to edit; name it to change it", kind.word());
            }
            kind.put(conf, name, entry);
        }
        Ok((before, conf.clone()))
    };
    let ((before, after), written) = match nodes::change(site, edit) {
        Ok(changed) => changed,
        // Nobody types it all again.
        Err(error) => {
            let kept = folder.keep().join("entries.yaml");
            return Err(error.context(format!("what you wrote is kept in {}", kept.display())));
        }
    };
    told(site, kind, (&before, &after), &new_names, written);
    say::reload(site);
    Ok(())
}

/// The part of the file that is to be edited.
fn picked(conf: &NodesConf, kind: Kind, wanted: impl Fn(&str) -> bool) -> NodesConf {
    let mut part = NodesConf::default();
    match kind {
        Kind::Node => part.nodes.extend(conf.nodes.clone().into_iter().filter(|(name, _)| wanted(name))),
        Kind::Profile => part.profiles.extend(conf.profiles.clone().into_iter().filter(|(name, _)| wanted(name))),
    }
    part
}

fn text_of(part: &NodesConf, kind: Kind) -> String {
    let doc = match kind {
        Kind::Node => Doc::named(part.nodes.iter().map(|(name, node)| (name.clone(), node_doc(node)))),
        Kind::Profile => Doc::named(part.profiles.iter().map(|(name, profile)| (name.clone(), profile_doc(profile)))),
    };
    yaml(&doc, 2, 0)
}

/// The fields that there are, as comments.
fn head(kind: Kind) -> String {
    let mut text = format!("# One {} an entry. Fields:\n", kind.word());
    let mut line = |key: &str, help: &str| text.push_str(&format!("#   {key}: {help}\n"));
    for field in fields::NODE.iter().filter(|_| kind == Kind::Node) {
        line(field.key, field.help);
    }
    for field in fields::profile_fields() {
        line(field.key, field.help);
    }
    for field in fields::NETWORK {
        line(&format!("network devices.NAME.{}", field.key), field.help);
    }
    for field in fields::DISK {
        line(&format!("disks.DEVICE.{}", field.key), field.help);
    }
    for field in fields::PARTITION {
        line(&format!("disks.DEVICE.partitions.LABEL.{}", field.key), field.help);
    }
    for field in fields::FILESYSTEM {
        line(&format!("filesystems.DEVICE.{}", field.key), field.help);
    }
    text
}

fn run_editor(file: &Path) -> anyhow::Result<()> {
    let editor = std::env::var("EDITOR").ok().filter(|editor| !editor.trim().is_empty());
    let editor = editor.unwrap_or_else(|| "/bin/vi".into());
    let mut words = editor.split_whitespace();
    let Some(program) = words.next() else { bail!("EDITOR names no program") };
    let status =
        Command::new(program).args(words).arg(file).status().with_context(|| format!("start the editor {program}"))?;
    if !status.success() {
        bail!("the editor {program} ended with {status}; nothing was written");
    }
    Ok(())
}
