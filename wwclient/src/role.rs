//! Which of its programs this binary is now. Pure.

/// What to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Role {
    /// The kernel started it: the whole boot. The words are those that the kernel passed on.
    Init(Vec<String>),
    /// A two-stage boot's initramfs started it, root and mounts are there.
    AfterRoot(Vec<String>),
    /// Anybody else.
    Agent,
    /// Called by the name of init on a running machine.
    NotInit,
}

/// By process id and arguments (`argv[0]` first).
pub fn role(pid: u32, arguments: &[String]) -> Role {
    let name = arguments.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let rest = arguments.get(1..).unwrap_or_default();
    match (pid, rest.first().map(String::as_str)) {
        (1, Some("run-init")) => Role::AfterRoot(rest.get(1..).unwrap_or_default().to_vec()),
        (1, _) => Role::Init(rest.to_vec()),
        (_, first) if name == "init" && first != Some("--dry-run") => Role::NotInit,
        _ => Role::Agent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_id_says_who_this_is() {
        let table: [(u32, &[&str], Role); 6] = [
            (1, &["/init"], Role::Init(vec![])),
            (1, &["/warewulf/wwclient", "3"], Role::Init(vec!["3".into()])),
            (1, &["/warewulf/wwclient", "run-init", "3"], Role::AfterRoot(vec!["3".into()])),
            (200, &["/warewulf/wwclient", "--once"], Role::Agent),
            (200, &["/init"], Role::NotInit),
            (200, &["/init", "--dry-run"], Role::Agent),
        ];
        for (pid, arguments, want) in table {
            let arguments: Vec<_> = arguments.iter().map(|a| (*a).to_owned()).collect();
            assert_eq!(role(pid, &arguments), want, "{pid} {arguments:?}");
        }
    }
}
