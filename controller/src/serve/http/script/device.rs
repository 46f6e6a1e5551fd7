//! A node's network devices as scripts see them: `range $name, $dev := .NetDevs`.

use std::borrow::Cow;
use std::net::IpAddr;

use model::node::Truth;
use model::{NetDev, Node};
use template::{Context, Failure, Map, Named, NilPointer, Object, Type, Value};

const FIELDS: [&str; 13] = [
    "Type",
    "OnBoot",
    "Device",
    "Hwaddr",
    "Ipaddr",
    "Netmask",
    "Gateway",
    "Ipaddr6",
    "PrefixLen6",
    "Gateway6",
    "MTU",
    "Tags",
    "Primary",
];

/// All devices of a node by the name of their network.
pub fn all(node: &Node) -> Value {
    let devices = node.profile.network_devices.iter();
    let primary = node.primary();
    let objects = devices.map(|(name, device)| {
        (name.as_str(), Value::object(Device { device: device.clone(), primary: name == primary }))
    });
    let nil = NilPointer { type_name: "node.NetDev".into(), fields: &FIELDS };
    Map::by_text(Type::object("*node.NetDev", Value::object(nil)), objects).into()
}

struct Device {
    device: NetDev,
    primary: bool,
}

impl Object for Device {
    fn type_name(&self) -> Cow<'_, str> {
        "node.NetDev".into()
    }

    fn field(&self, name: &str) -> Option<Value> {
        let device = &self.device;
        Some(match name {
            "Type" => device.kind.as_str().into(),
            "OnBoot" => truth(&device.onboot),
            "Device" => device.device.as_str().into(),
            "Hwaddr" => device.hwaddr.as_str().into(),
            "Ipaddr" => ip(device.ipaddr),
            "Netmask" => ip(device.netmask),
            "Gateway" => ip(device.gateway),
            "Ipaddr6" => ip(device.ipaddr6),
            "PrefixLen6" => device.prefixlen6.as_str().into(),
            "Gateway6" => ip(device.gateway6),
            "MTU" => device.mtu.as_str().into(),
            "Tags" => (&device.tags).into(),
            _ => return None,
        })
    }

    fn fields(&self) -> Vec<Cow<'_, str>> {
        FIELDS.iter().filter(|name| **name != "Primary").map(|name| Cow::Borrowed(*name)).collect()
    }

    fn method(&self, name: &str, args: &[Value], _: &Context<'_>) -> Option<Result<Value, Failure>> {
        let value: Value = match name {
            "Primary" => self.primary.into(),
            "IpCIDR" => cidr(&self.device).into(),
            "IpCIDR6" => cidr6(&self.device).into(),
            _ => return None,
        };
        Some(if args.is_empty() { Ok(value) } else { Err(Failure::Arguments { want: 0, got: args.len() }) })
    }

    fn methods(&self) -> Vec<Cow<'_, str>> {
        ["IpCIDR", "IpCIDR6", "Primary"].map(Cow::Borrowed).to_vec()
    }
}

/// `10.0.0.7/22`; empty where address or mask is missing.
fn cidr(device: &NetDev) -> String {
    match (device.ipaddr, device.netmask) {
        (Some(address), Some(IpAddr::V4(mask))) => format!("{address}/{}", u32::from(mask).leading_ones()),
        _ => String::new(),
    }
}

fn cidr6(device: &NetDev) -> String {
    match device.ipaddr6 {
        Some(address) if !device.prefixlen6.is_empty() => format!("{address}/{}", device.prefixlen6),
        _ => String::new(),
    }
}

fn ip(address: Option<IpAddr>) -> Value {
    let bytes = match address {
        None => Vec::new(),
        Some(IpAddr::V4(address)) => address.to_ipv6_mapped().octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
    };
    let text = address.map_or_else(|| "<nil>".to_string(), |address| address.to_string());
    Value::object(Named { type_name: "net.IP".into(), value: Value::Bytes(bytes.into()), text: Some(text.into()) })
}

fn truth(word: &Truth) -> Value {
    Value::object(Named { type_name: "wwtype.WWbool".into(), value: word.0.as_str().into(), text: None })
}
