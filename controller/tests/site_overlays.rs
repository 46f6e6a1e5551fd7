//! Overlays as sites have written them for years, with the idioms of their templates, render to what the language and the
//! data say: each case is a tree of templates and, written by hand, the files that a node must get.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod world;

use serde_json::json;
use world::World;

const NODES: &str = r#"
nodeprofiles:
  default:
    cluster name: amber
    image name: oak
    init: /sbin/init
    kernel: {args: [quiet, "console=ttyS1,115200"]}
    ipmi: {username: boss, netmask: 255.255.255.0}
    tags: {partition: batch, cpus: "32", site: vienna}
    runtime overlay: [base, site]
    resources:
      lustre: {servers: [mds1, mds2], mounts: {work: /work, home: /home}, flock: true, stripes: 4}
nodes:
  c1:
    profiles: [default]
    ipmi: {ipaddr: 10.21.1.1, write: "true"}
    tags: {cpus: "64", mem: "256000", gres: "gpu:a100:4", features: "ib,avx512"}
    primary network: default
    network devices:
      default:
        device: eth0
        hwaddr: 52:54:00:00:01:01
        ipaddr: 10.20.1.1
        netmask: 255.255.0.0
        gateway: 10.20.0.1
        mtu: "9000"
        tags: {zone: internal, peers: "a, b;c"}
      ib: {type: infiniband, device: ib0, ipaddr: 10.30.1.1, netmask: 255.255.0.0}
  c2:
    profiles: [default]
    tags: {mem: "128000"}
    network devices:
      default: {device: eth0, hwaddr: "52:54:00:00:01:02", ipaddr: 10.20.1.2, netmask: 255.255.0.0}
  login:
    profiles: [default]
    tags: {partition: ""}
    network devices:
      default: {device: eth0, ipaddr: 10.20.2.1, netmask: 255.255.0.0}
"#;

/// What c1 gets of an overlay with these files: path and content, or path and target of a link.
fn given(files: &[(&str, &str)]) -> Vec<(String, String)> {
    given_to("c1", files)
}

fn given_to(node: &str, files: &[(&str, &str)]) -> Vec<(String, String)> {
    let world = World::with_nodes(NODES);
    world.put("var/overlays/base/rootfs/etc/motd", &json!("of the base\n"));
    world.put("var/chroots/oak/rootfs/etc/passwd", &json!("root:x:0:0:root:/root:/bin/sh\nbin:x:1:1::/:/bin/false\n"));
    world.put("etc/warewulf/motd", &json!("welcome\nto vienna\n"));
    world.put("etc/warewulf/hosts", &json!("127.0.0.1 localhost\n# nodes follow\n10.0.0.1 old\n"));
    world.put("zones/Vienna", &json!("TZ"));
    world.put("zone", &json!({"link": "@ROOT@/zones/Vienna"}));
    for (path, text) in files {
        world.put(&format!("var/overlays/site/rootfs/{path}"), &json!(text));
    }
    let ran = world.run(&["overlay", "build", node]);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    let archive = std::fs::read(world.path(&format!("var/provision/overlays/{node}/__RUNTIME__.img"))).unwrap();
    let root = world.root().display().to_string();
    let mut entries = archive::newc::read(&archive).unwrap();
    // What many nodes share stands first in an archive.
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
        .into_iter()
        .filter(|entry| entry.path != b"etc/motd" || files.iter().any(|(path, _)| path.starts_with("etc/motd")))
        .filter_map(|entry| {
            let text = match &entry.kind {
                archive::Kind::File(content) => String::from_utf8(content.to_vec()).unwrap(),
                archive::Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
                _ => return None,
            };
            Some((String::from_utf8(entry.path).unwrap(), text.replace(&root, "@ROOT@")))
        })
        .collect()
}

/// Of an overlay with one template `etc/x.ww`.
fn text(template: &str) -> String {
    let mut given = given(&[("etc/x.ww", template)]);
    assert_eq!(given.len(), 1, "{given:?}");
    given.remove(0).1
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn nested_ranges_over_devices_and_their_tags() {
    assert_eq!(
        text(
            "# {{$.Id}}
{{- range $devname, $netdev := .NetDevs }}
[{{ $devname }}]
DEVICE={{ $netdev.Device }}
{{- if $netdev.Ipaddr }}
IPADDR={{ $netdev.IpCIDR }}
{{- end }}
{{- if ne $netdev.MTU \"\" }}
MTU={{ $netdev.MTU }}
{{- end }}
{{- range $key, $value := $netdev.Tags }}
{{ $key | upper }}=\"{{ $value }}\"
{{- end }}
{{- end }}
"
        ),
        "# c1
[default]
DEVICE=eth0
IPADDR=10.20.1.1/16
MTU=9000
PEERS=\"a, b;c\"
ZONE=\"internal\"
[ib]
DEVICE=ib0
IPADDR=10.30.1.1/16
"
    );
}

#[test]
fn one_file_a_device_with_a_blank_variable_for_the_name() {
    assert_eq!(
        given(&[(
            "etc/sysconfig/network-scripts/ifcfg.ww",
            "{{- range $_, $dev := .NetDevs }}
{{- file (printf \"ifcfg-%s\" $dev.Device) }}
# by {{ $.Overlay }}
DEVICE={{ $dev.Device }}
TYPE={{ $dev.Type | default \"Ethernet\" | title }}
ONBOOT={{ ternary \"yes\" \"no\" $dev.OnBoot.BoolDefaultTrue }}
{{- end }}
"
        )]),
        pairs(&[
            ("etc/sysconfig/network-scripts/ifcfg-eth0", "\n# by site\nDEVICE=eth0\nTYPE=Ethernet\nONBOOT=yes"),
            ("etc/sysconfig/network-scripts/ifcfg-ib0", "\n# by site\nDEVICE=ib0\nTYPE=Infiniband\nONBOOT=yes\n"),
        ])
    );
}

#[test]
fn links_of_the_controller_and_links_of_ones_own() {
    assert_eq!(
        given(&[
            ("etc/localtime.ww", "{{ ImportLink \"@ROOT@/zone\" }}\n"),
            ("etc/resolv.conf.ww", "{{- softlink \"/run/resolv.conf\" -}}\n"),
            ("etc/where.ww", "{{ readlink \"@ROOT@/zone\" | basename }}\n"),
        ]),
        pairs(&[
            ("etc/localtime", "-> @ROOT@/zones/Vienna"),
            ("etc/resolv.conf", "-> /run/resolv.conf"),
            ("etc/where", "Vienna\n"),
        ])
    );
}

#[test]
fn accounts_of_the_image_with_those_of_the_site() {
    assert_eq!(
        text(
            "{{ IncludeFrom $.ImageName \"/etc/passwd\" }}
{{ $users := list \"ada:2001\" \"bin:1\" -}}
{{- range $users }}{{ $u := splitList \":\" . }}
{{- printf \"%s:x:%s:%s::/home/%s:/bin/bash\" (index $u 0) (index $u 1) (index $u 1) (first $u) }}
{{ end }}"
        ),
        "root:x:0:0:root:/root:/bin/sh
bin:x:1:1::/:/bin/false
ada:x:2001:2001::/home/ada:/bin/bash
bin:x:1:1::/home/bin:/bin/bash
"
    );
    assert_eq!(
        text(
            "{{ UniqueField \":\" 0 (print (IncludeFrom .ImageName \"/etc/passwd\") \"\\nroot:x:1\\nada:x:2\") | trim }}"
        ),
        "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1::/:/bin/false\nada:x:2"
    );
}

#[test]
fn files_of_the_controller_whole_and_up_to_a_line() {
    assert_eq!(
        text(
            "{{ Include \"motd\" }}|{{ Include \"/nowhere\" }}|{{ IncludeBlock \"hosts\" \"# nodes follow\" }}\n{{ .Ipaddr }} head\n"
        ),
        "welcome\nto vienna||127.0.0.1 localhost\n# nodes follow\n10.20.0.1 head\n"
    );
}

#[test]
fn abort_where_there_is_nothing_to_say() {
    let gpu = "{{ if not (index .Tags \"gres\") }}{{ abort }}{{ end }}Gres={{ .Tags.gres }}\n";
    let role = "{{- if ne (index .Tags \"role\") \"io\" }}{{ abort }}{{ end -}}\nio\n";
    let files = [("etc/gres.ww", gpu), ("etc/role.ww", role)];
    assert_eq!(given(&files), pairs(&[("etc/gres", "Gres=gpu:a100:4\n")]));
    assert_eq!(given_to("c2", &files), pairs(&[]));
}

#[test]
fn a_template_leaves_the_replaced_file_beside_unless_it_says_nobackup() {
    assert_eq!(given(&[("etc/motd.ww", "{{ nobackup }}of {{ .Id }}\n")]), pairs(&[("etc/motd", "of c1\n")]));
    assert_eq!(
        given(&[("etc/motd.ww", "of {{ .Id }}\n")]),
        pairs(&[("etc/motd", "of c1\n"), ("etc/motd.wwbackup", "of the base\n")])
    );
}

#[test]
fn dictionaries_defaults_and_lists_as_sprig_has_them() {
    assert_eq!(
        text(
            "{{- $seen := dict \"a\" 1 -}}
{{- range $name, $dev := .NetDevs }}{{ $_ := set $seen $dev.Device (len $dev.Tags) }}{{ end -}}
{{ hasKey $seen \"ib0\" }} {{ hasKey $seen \"ib1\" }} {{ get $seen \"eth0\" }} {{ keys $seen | sortAlpha | join \"+\" }}
{{ ternary \"big\" \"small\" (gt (int .Tags.cpus) 48) }} {{ default \"none\" (index .Tags \"rack\") }} {{ .Tags.site | default \"x\" }}
{{ range splitList \",\" .Tags.features }}<{{ . }}>{{ end }}
{{ regexReplaceAll \"[;, ]+\" (index .NetDevs.default.Tags \"peers\") \" \" }}
{{ $m := fromJson (toJson (dict \"cpu\" (atoi .Tags.cpus) \"l\" (list 1 \"b\"))) }}{{ $m.cpu }} {{ index $m.l 1 }} {{ toJson $m }}
{{ coalesce \"\" .Tags.partition \"none\" }} {{ empty .Comment }} {{ quote .Id }} {{ .Id | trimPrefix \"c\" | add 1 }} {{ inc 4 }}{{ dec 4 }}
"
        ),
        "true false 2 a+eth0+ib0
big none vienna
<ib><avx512>
a b c
64 b {\"cpu\":64,\"l\":[1,\"b\"]}
batch true \"c1\" 2 53
"
    );
}

#[test]
fn devices_of_this_node_know_which_is_primary() {
    assert_eq!(
        text(
            "{{ range $n, $d := .ThisNode.NetDevs }}{{ if $d.Primary }}{{ $n }} {{ $d.Ipaddr }}{{ end }}{{ end }} {{ .PrimaryNetDev }} {{ (index .NetDevs .PrimaryNetDev).Hwaddr }}\n"
        ),
        "default 10.20.1.1 default 52:54:00:00:01:01\n"
    );
}

#[test]
fn consoles_and_hosts_of_all_nodes() {
    assert_eq!(
        text(
            "{{ range $node := .AllNodes }}
{{- if $node.Ipmi.Ipaddr }}
CONSOLE name=\"{{ $node.Id }}\" dev=\"ipmi:{{ $node.Ipmi.Ipaddr }}\" ipmiopts=\"U:{{ $node.Ipmi.UserName }}\"
{{- else }}
# {{ $node.Id }}: {{ $node.Ipmi.Ipaddr }}, mask {{ $node.Ipmi.Netmask }}
{{- end }}
{{- range $name, $net := $node.NetDevs }}
{{- if and $net.Device $net.Ipaddr }}
{{ $net.Ipaddr }} {{ if $net.Primary }}{{ $node.Id }} {{ end }}{{ $node.Id }}-{{ $name }}
{{- end }}
{{- end }}
{{- end }}
"
        ),
        "
CONSOLE name=\"c1\" dev=\"ipmi:10.21.1.1\" ipmiopts=\"U:boss\"
10.20.1.1 c1 c1-default
10.30.1.1 c1-ib
# c2: <nil>, mask 255.255.255.0
10.20.1.2 c2 c2-default
# login: <nil>, mask 255.255.255.0
10.20.2.1 login login-default
"
    );
}

#[test]
fn slurm_conf_from_tags() {
    assert_eq!(
        text(
            "ClusterName={{ .ClusterName }}
{{- $partitions := dict }}
{{- range $node := .AllNodes }}
{{- $p := index $node.Tags \"partition\" }}
{{- if and $p (index $node.Tags \"mem\") }}
NodeName={{ $node.Id }} CPUs={{ $node.Tags.cpus }} RealMemory={{ $node.Tags.mem }}
{{- with index $node.Tags \"gres\" }} Gres={{ . }}{{ end }}
{{- with index $node.Tags \"features\" }} Feature={{ . }}{{ end }} State=UNKNOWN
{{- $_ := set $partitions $p (append (get $partitions $p | default list) $node.Id) }}
{{- end }}
{{- end }}
{{- range $p, $members := $partitions }}
PartitionName={{ $p }} Nodes={{ join \",\" $members }} Default={{ if eq $p \"batch\" }}YES{{ else }}NO{{ end }}
{{- end }}
"
        ),
        "ClusterName=amber
NodeName=c1 CPUs=64 RealMemory=256000 Gres=gpu:a100:4 Feature=ib,avx512 State=UNKNOWN
NodeName=c2 CPUs=32 RealMemory=128000 State=UNKNOWN
PartitionName=batch Nodes=c1,c2 Default=YES
"
    );
}

#[test]
fn templates_of_ones_own_blocks_comments_and_trimming() {
    assert_eq!(
        text(
            "{{- /* wwdoc: a file with parts */ -}}
{{- define \"line\" }}{{ .name }}={{ .value | quote }}{{ end -}}
{{- define \"all\" -}}
{{ range $i, $v := . }}{{ if $i }}, {{ end }}{{ $v }}{{ end }}
{{- end -}}
{{ template \"line\" (dict \"name\" \"ID\" \"value\" .Id) }}
{{ block \"foot\" . }}of {{ .ClusterName }}{{ end }}
{{- /* gone */}}
   {{- \"  kept  \" }}
{{ template \"all\" .Kernel.Args -}}
  x
{{ with .NetDevs.ib }}{{ .Device }} in {{ $.Id }}{{ else }}none{{ end }}
{{ range $i, $a := .Kernel.Args }}{{ if eq $a \"quiet\" }}{{ continue }}{{ end }}{{ $i }}:{{ $a }}{{ else }}none{{ end }}
"
        ),
        "ID=\"c1\"
of amber  kept  
quiet, console=ttyS1,115200x
ib0 in c1
1:console=ttyS1,115200
"
    );
}

#[test]
fn resources_of_any_shape() {
    assert_eq!(
        text(
            "{{ $l := index .Resources \"lustre\" -}}
{{ join \"@tcp:\" $l.servers }}@tcp {{ .Resources.lustre.stripes }} {{ if $l.flock }}flock{{ end }}
{{ range $name, $path := .Resources.lustre.mounts }}{{ $name }} on {{ $path }} ({{ SystemdEscapePath $path }}.mount)
{{ end }}{{ with index .Resources \"nothing\" }}never{{ else }}nothing{{ end }}
"
        ),
        "mds1@tcp:mds2@tcp 4 flock
home on /home (home.mount)
work on /work (work.mount)
nothing
"
    );
}

#[test]
fn names_of_older_releases_and_the_words_of_what_is_not_there() {
    assert_eq!(
        text(
            "{{ .Container }} {{ .ContainerName }} {{ .ImageName }} {{ .ThisNode.ContainerName }} {{ .Init }} {{ .Ipmi.Write.Bool }}
{{ .Tags.nowhere }} {{ index .Tags \"nowhere\" }}| {{ .Ipmi.Gateway }} {{ len .Disks }}
{{ .Kernel.Args | join \" \" }} {{ join \",\" .Profiles }} {{ .IpCIDR }} {{ .NetworkCIDR }}
"
        ),
        "oak oak oak oak /sbin/init true
<no value> | <nil> 0
quiet console=ttyS1,115200 default 10.20.0.1/16 10.20.0.0/16
"
    );
}

#[test]
fn an_absolute_file_goes_from_the_root_of_the_overlay_and_what_stood_before_is_dropped() {
    assert_eq!(
        given(&[(
            "etc/systemd/all.ww",
            "dropped
{{ range $name, $path := .Resources.lustre.mounts -}}
{{ file (printf \"/etc/systemd/system/%s.mount\" (SystemdEscapePath $path)) -}}
[Mount]
Where={{ $path }}
{{ end -}}
{{ file \"target.wants/home.mount\" }}{{ softlink \"../system/home.mount\" }}
"
        )]),
        pairs(&[
            ("etc/systemd/system/home.mount", "[Mount]\nWhere=/home\n"),
            ("etc/systemd/system/work.mount", "[Mount]\nWhere=/work\n"),
            ("etc/systemd/target.wants/home.mount", "-> ../system/home.mount"),
        ])
    );
}
