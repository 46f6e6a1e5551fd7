//! Kernel modules: what must be loaded for a set of wanted ones, and in which order.
//!
//! Pure: the texts of `/lib/modules/RELEASE/modules.{dep,alias,softdep,builtin}` come in (modules.dep(5), modprobe.d(5)), a list
//! of paths goes out. Nothing is loaded here, and no file is looked for.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

/// What depmod wrote about one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    modules: BTreeMap<String, Module>,
    /// Pattern and module, in the order of the file.
    aliases: Vec<(String, String)>,
    soft: BTreeMap<String, Soft>,
    builtin: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Module {
    /// Below `/lib/modules/RELEASE/`.
    path: String,
    /// Names, in the order of the file: the last is needed first.
    needs: Vec<String>,
}

/// What goes before and after a module when it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Soft {
    before: Vec<String>,
    after: Vec<String>,
}

/// The texts of one kernel's tables; absent ones are empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    pub dep: &'a str,
    pub alias: &'a str,
    pub softdep: &'a str,
    pub builtin: &'a str,
}

/// A line that depmod would not write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("modules.{table}: line {line}: {fault}; run depmod again")]
pub struct BadLine {
    pub table: &'static str,
    /// From 1.
    pub line: usize,
    pub fault: &'static str,
}

/// What to load, one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Paths below `/lib/modules/RELEASE/`, each after all that it needs.
    pub load: Vec<String>,
    /// Wanted, and in the kernel itself.
    pub builtin: Vec<String>,
    /// Wished for by a soft dependency, and not there: no fault.
    pub passed_over: Vec<String>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Missing {
    #[error(
        "{wanted}: no module and no alias of this kernel; install the package that has it, or take it off the list"
    )]
    Wanted { wanted: String },
    #[error("{module} needs {needs}, which modules.dep does not have; run depmod again")]
    Needed { module: String, needs: String },
}

impl Tables {
    /// The tables in these texts.
    ///
    /// # Errors
    /// A line that depmod would not write.
    pub fn parse(texts: Texts<'_>) -> Result<Tables, BadLine> {
        let mut tables = Tables::default();
        for (line, text) in lines(texts.dep) {
            let bad = BadLine { table: "dep", line, fault: "no colon after the module" };
            let (path, needs) = text.split_once(':').ok_or(bad)?;
            let needs = needs.split_whitespace().map(name).collect();
            tables.modules.insert(name(path), Module { path: path.to_string(), needs });
        }
        for (line, text) in lines(texts.alias) {
            let mut words = text.split_whitespace();
            let (Some("alias"), Some(pattern), Some(module)) = (words.next(), words.next(), words.next()) else {
                return Err(BadLine { table: "alias", line, fault: "not `alias PATTERN MODULE`" });
            };
            tables.aliases.push((same(pattern), same(module)));
        }
        for (line, text) in lines(texts.softdep) {
            let mut words = text.split_whitespace();
            let (Some("softdep"), Some(module)) = (words.next(), words.next()) else {
                return Err(BadLine { table: "softdep", line, fault: "not `softdep MODULE pre: ... post: ...`" });
            };
            let soft = tables.soft.entry(same(module)).or_default();
            let mut list = None;
            for word in words {
                match (word, &mut list) {
                    ("pre:", _) => list = Some(false),
                    ("post:", _) => list = Some(true),
                    (other, Some(false)) => soft.before.push(same(other)),
                    (other, Some(true)) => soft.after.push(same(other)),
                    (_, None) => {
                        return Err(BadLine { table: "softdep", line, fault: "a word before `pre:` or `post:`" });
                    }
                }
            }
        }
        tables.builtin = lines(texts.builtin).map(|(_, path)| name(path)).collect();
        Ok(tables)
    }

    /// What to load for all that is wanted: names of modules (`-` and `_` are one) or aliases (`pci:v00001AF4d...`).
    ///
    /// # Errors
    /// When something wanted, or what it needs, is not there.
    pub fn plan(&self, wanted: &[&str]) -> Result<Plan, Missing> {
        let mut planner = Planner { tables: self, seen: BTreeSet::new(), plan: Plan::default() };
        for wanted in wanted {
            let found = self.named(wanted);
            if found.is_empty() {
                return Err(Missing::Wanted { wanted: (*wanted).to_string() });
            }
            for module in found {
                planner.add(&module)?;
            }
        }
        Ok(planner.plan)
    }

    /// The modules that a name or an alias means, builtin ones too. A module's own name comes before all aliases.
    fn named(&self, wanted: &str) -> Vec<String> {
        let plain = same(wanted);
        if self.modules.contains_key(&plain) || self.builtin.contains(&plain) {
            return vec![plain];
        }
        let fitting = self.aliases.iter().filter(|(pattern, _)| fits(pattern.as_bytes(), plain.as_bytes()));
        let mut found: Vec<String> = fitting.map(|(_, module)| module.clone()).collect();
        let mut seen = BTreeSet::new();
        found.retain(|module| seen.insert(module.clone()));
        found
    }
}

struct Planner<'t> {
    tables: &'t Tables,
    seen: BTreeSet<String>,
    plan: Plan,
}

/// A step of the walk, kept on a stack of our own: tables may be as deep as they like.
enum Step {
    Visit(String),
    Load(String),
}

impl Planner<'_> {
    fn add(&mut self, module: &str) -> Result<(), Missing> {
        let mut stack = vec![Step::Visit(module.to_string())];
        while let Some(step) = stack.pop() {
            match step {
                Step::Load(path) => self.plan.load.push(path),
                Step::Visit(name) => self.visit(name, &mut stack)?,
            }
        }
        Ok(())
    }

    /// Pushes what goes before, the module, and what goes after, the last first.
    fn visit(&mut self, name: String, stack: &mut Vec<Step>) -> Result<(), Missing> {
        if !self.seen.insert(name.clone()) {
            return Ok(());
        }
        let Some(module) = self.tables.modules.get(&name) else {
            let list =
                if self.tables.builtin.contains(&name) { &mut self.plan.builtin } else { &mut self.plan.passed_over };
            list.push(name);
            return Ok(());
        };
        let soft = self.tables.soft.get(&name);
        let wished = |list: Option<&Vec<String>>| {
            let each = |wish: &String| {
                let found = self.tables.named(wish);
                if found.is_empty() { vec![wish.clone()] } else { found }
            };
            list.into_iter().flatten().flat_map(each).collect::<Vec<_>>()
        };
        stack.extend(wished(soft.map(|soft| &soft.after)).into_iter().rev().map(Step::Visit));
        stack.push(Step::Load(module.path.clone()));
        for needs in &module.needs {
            if !self.tables.modules.contains_key(needs) && !self.tables.builtin.contains(needs) {
                return Err(Missing::Needed { module: name, needs: needs.clone() });
            }
            // The last in the file is needed first, and so it goes on top.
            stack.push(Step::Visit(needs.clone()));
        }
        stack.extend(wished(soft.map(|soft| &soft.before)).into_iter().rev().map(Step::Visit));
        Ok(())
    }
}

/// Lines that say something, counted from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// The name in a path: `kernel/fs/nls/nls-x.ko.xz` is `nls_x`.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    same(file.split_once(".ko").map_or(file, |(name, _)| name))
}

/// `-` and `_` are the same in a module's name, but within brackets of a pattern `-` makes a range.
fn same(text: &str) -> String {
    let mut inside = false;
    let each = |each| {
        match each {
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
        if each == '-' && !inside { '_' } else { each }
    };
    text.chars().map(each).collect()
}

/// fnmatch(3) without flags: `*`, `?`, `[a-z]`, `[!x]`, all bytes alike. The last star alone is tried again, so that time is
/// bounded by pattern x text.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen, mut star) = (0, 0, None);
    loop {
        let rest = pattern.get(at..).unwrap_or_default();
        if rest.first() == Some(&b'*') {
            star = Some((at + 1, seen));
            at += 1;
            continue;
        }
        let step = match text.get(seen) {
            None if rest.is_empty() => return true,
            None => None,
            Some(byte) => one(rest, *byte),
        };
        if let Some(length) = step {
            at += length;
            seen += 1;
            continue;
        }
        let Some((after_star, taken)) = star else { return false };
        if taken >= text.len() {
            return false;
        }
        star = Some((after_star, taken + 1));
        (at, seen) = (after_star, taken + 1);
    }
}

/// The length of the pattern's first element when it fits this byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', inner @ ..] => {
            let end = 1 + inner.iter().skip(1).position(|each| *each == b']')?;
            let set = inner.get(..end)?;
            let (negated, mut set) = match set {
                [b'!' | b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            let mut found = false;
            while let [first, after @ ..] = set {
                set = match after {
                    [b'-', last, after @ ..] => {
                        found |= (*first..=*last).contains(&byte);
                        after
                    }
                    _ => {
                        found |= *first == byte;
                        after
                    }
                };
            }
            (found != negated).then_some(end + 2)
        }
        [first, ..] => (*first == byte).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: Texts<'_> = Texts {
        dep: "kernel/net/core/failover.ko.xz:\n\
              kernel/drivers/net/net_failover.ko.xz: kernel/net/core/failover.ko.xz\n\
              kernel/drivers/virtio/virtio_ring.ko.xz:\n\
              kernel/drivers/virtio/virtio.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz\n\
              kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko.xz kernel/net/core/failover.ko.xz kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz\n\
              kernel/fs/btrfs/btrfs.ko:\n\
              kernel/crypto/crc32c-intel.ko:\n\
              kernel/crypto/crc32c_generic.ko:\n\
              kernel/crypto/late.ko:\n",
        alias: "# Aliases\nalias virtio:d00000001v* virtio_net\nalias crypto-crc32c crc32c_intel\nalias crypto-crc32c crc32c_generic\nalias pci:v0000[1-3]*d?[!9]* virtio-net\n",
        softdep: "softdep btrfs pre: crypto-crc32c crypto-blake2b ext-in post: late\n",
        builtin: "kernel/fs/ext_in.ko\n",
    };

    fn plan(wanted: &[&str]) -> Result<Plan, Missing> {
        Tables::parse(TEXTS).unwrap().plan(wanted)
    }

    fn names(wanted: &[&str]) -> Vec<String> {
        plan(wanted).unwrap().load.iter().map(|path| name(path)).collect()
    }

    #[test]
    fn a_module_comes_after_all_that_it_needs() {
        let order = ["virtio_ring", "virtio", "failover", "net_failover", "virtio_net"];
        assert_eq!(names(&["virtio_net"]), order);
        assert_eq!(names(&["virtio-net", "virtio"]), order);
        assert_eq!(plan(&["failover"]).unwrap().load, ["kernel/net/core/failover.ko.xz"]);
    }

    #[test]
    fn aliases_and_their_patterns_name_modules() {
        assert_eq!(names(&["virtio:d00000001v00001AF4"]).last().unwrap(), "virtio_net");
        assert_eq!(names(&["pci:v00002AF4d1234"]).last().unwrap(), "virtio_net");
        assert_eq!(names(&["crypto-crc32c"]), ["crc32c_intel", "crc32c_generic"]);
        assert_eq!(plan(&["pci:v00004AF4d1234"]), Err(Missing::Wanted { wanted: "pci:v00004AF4d1234".into() }));
    }

    #[test]
    fn soft_dependencies_go_before_and_after_when_they_are_there() {
        let plan = plan(&["btrfs"]).unwrap();
        let wanted = [
            "kernel/crypto/crc32c-intel.ko",
            "kernel/crypto/crc32c_generic.ko",
            "kernel/fs/btrfs/btrfs.ko",
            "kernel/crypto/late.ko",
        ];
        assert_eq!(plan.load, wanted);
        assert_eq!(plan.passed_over, ["crypto_blake2b"]);
        assert_eq!(plan.builtin, ["ext_in"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(plan(&["ext-in"]).unwrap(), Plan { builtin: vec!["ext_in".into()], ..Plan::default() });
        let error = plan(&["virtio_net", "nothing"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "nothing: no module and no alias of this kernel; install the package that has it, or take it off the list"
        );
        let torn = Tables::parse(Texts { dep: "a.ko: b.ko\n", ..Texts::default() }).unwrap();
        assert_eq!(torn.plan(&["a"]), Err(Missing::Needed { module: "a".into(), needs: "b".into() }));
    }

    #[test]
    fn lines_that_depmod_would_not_write_are_refused_with_their_place() {
        let bad = |texts| Tables::parse(texts).unwrap_err().to_string();
        let none = Texts::default();
        assert_eq!(
            bad(Texts { dep: "a.ko:\nb.ko\n", ..none }),
            "modules.dep: line 2: no colon after the module; run depmod again"
        );
        assert_eq!(
            bad(Texts { alias: "#\nalias x\n", ..none }),
            "modules.alias: line 2: not `alias PATTERN MODULE`; run depmod again"
        );
        assert_eq!(
            bad(Texts { softdep: "softdep x y pre: z", ..none }),
            "modules.softdep: line 1: a word before `pre:` or `post:`; run depmod again"
        );
    }

    #[test]
    fn circles_and_depth_do_no_harm() {
        let circle =
            Texts { dep: "a.ko: b.ko\nb.ko: a.ko\n", softdep: "softdep a pre: b post: a\n", ..Texts::default() };
        assert_eq!(Tables::parse(circle).unwrap().plan(&["a"]).unwrap().load, ["b.ko", "a.ko"]);
        let deep: String = (0..50_000).map(|index| format!("m{index}.ko: m{}.ko\n", index + 1)).collect();
        let deep = format!("{deep}m50000.ko:\n");
        let plan = Tables::parse(Texts { dep: &deep, ..Texts::default() }).unwrap().plan(&["m0"]).unwrap();
        assert_eq!((plan.load.len(), plan.load[0].as_str()), (50_001, "m50000.ko"));
        assert!(!fits("*a".repeat(3000).as_bytes(), "a".repeat(2999).as_bytes()));
        assert!(!fits(b"[", b"[") && !fits(b"[a", b"a") && fits(b"[]a]", b"]"));
    }
}
