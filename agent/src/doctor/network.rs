//! Names and routes: what lies between the board and those it sends to.

use std::io;
use std::net::{IpAddr, SocketAddr};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::{Looked, Patient, STEP_LIMIT, Waiting, read};
use crate::config::credentials::Credentials;
use crate::config::proxy::ProxyConfig;
use crate::config::{Config, SinkKind};
use crate::control::check::{Area, Check};
use crate::link::fetch::place_of;

const AREA: Area = Area::Network;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Somebody that the agent connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Far {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Far {
    /// What lies first on the way there: a proxy, where there is one.
    fn first(host: &str, port: u16, proxy: Option<&ProxyConfig>) -> Self {
        proxy.map_or_else(
            || Self { host: host.to_owned(), port },
            |proxy| Self { host: proxy.host.clone(), port: proxy.port },
        )
    }

    /// Of an address such as `https://host:port/`.
    pub fn of_url(url: &str, proxy: Option<&ProxyConfig>) -> Option<Self> {
        let (target, _) = place_of(url, "the store", "endpoint").ok()?;
        Some(Self::first(&target.host, target.port, proxy))
    }
}

/// AWS's store in a region.
pub fn aws(region: &str) -> String {
    let top = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://s3.{region}.{top}")
}

/// Everybody that the agent connects to first on its ways, once.
fn fars(config: &Config) -> Vec<Far> {
    let mut fars: Vec<Far> = Vec::new();
    for sink in &config.sinks {
        match &sink.kind {
            SinkKind::Mqtt(mqtt) => fars.push(Far::first(&mqtt.host, mqtt.port, mqtt.proxy.as_ref())),
            SinkKind::S3(s3) => {
                let url = s3.endpoint.clone().unwrap_or_else(|| aws(&s3.region));
                fars.extend(Far::of_url(&url, s3.proxy.as_ref()));
                if let Credentials::Iot(iot) = &s3.credentials {
                    fars.push(Far::first(&iot.host, iot.port, s3.proxy.as_ref()));
                }
            }
            SinkKind::File(_) => {}
        }
    }
    let mut once = Vec::new();
    for far in fars {
        if !once.contains(&far) {
            once.push(far);
        }
    }
    once
}

fn is_here(far: &Far) -> bool {
    far.host == "localhost" || far.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Interfaces, routes, and who resolves names: as the kernel has them.
pub fn here(patient: &Patient) -> Looked {
    let Ok(config) = &patient.config else { return Vec::new() };
    let fars = fars(config);
    let far_away: Vec<&Far> = fars.iter().filter(|far| !is_here(far)).collect();
    if far_away.is_empty() {
        return Vec::new();
    }
    let mut checks = vec![interfaces(patient), route(patient)];
    if far_away.iter().any(|far| far.host.parse::<IpAddr>().is_err()) {
        let text = patient.read("/etc/resolv.conf").unwrap_or_default();
        let servers: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).collect();
        let servers: Vec<&str> = servers.into_iter().map(str::trim).collect();
        checks.push(if servers.is_empty() {
            let fix =
                "what does DHCP give? `resolvectl`, `nmcli device show`; or a nameserver line in /etc/resolv.conf";
            Check::fault(
                AREA,
                "network-resolver",
                "/etc/resolv.conf names no server, and names are to be resolved",
                fix,
            )
        } else {
            Check::ok(AREA, "network-resolver", servers.join(", "))
        });
    }
    checks
}

fn interfaces(patient: &Patient) -> Check {
    const NAME: &str = "network-interface";
    let mut up = Vec::new();
    let mut down = Vec::new();
    let entries = std::fs::read_dir(patient.at("/sys/class/net"));
    for entry in entries.into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        // A modem or a tunnel says "unknown" of itself, and carries.
        let state = read(&entry.path().join("operstate")).unwrap_or_default();
        match state.as_str() {
            _ if name == "lo" => {}
            "up" | "unknown" => up.push(name),
            _ => down.push(format!("{name} {state}")),
        }
    }
    up.sort();
    down.sort();
    if up.is_empty() {
        let seen =
            format!("no interface is up ({})", if down.is_empty() { "none is there".into() } else { down.join(", ") });
        return Check::fault(AREA, NAME, seen, "cable, SIM, Wi-Fi password? `ip link`, `nmcli device`");
    }
    Check::ok(AREA, NAME, format!("{} up", up.join(", ")))
}

fn route(patient: &Patient) -> Check {
    const NAME: &str = "network-route";
    let text = patient.read("/proc/net/route").unwrap_or_default();
    // Interface, destination, gateway, flags, in hexadecimal; RTF_UP is 1.
    let is_default = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let flags = fields.get(3).and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0);
        (fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000") && flags & 1 != 0)
            .then(|| fields[0].to_owned())
    };
    let v4 = text.lines().find_map(is_default);
    let text = patient.read("/proc/net/ipv6_route").unwrap_or_default();
    // Destination, length of its prefix, six more, flags, interface; RTF_REJECT (0x200) leads nowhere.
    let is_default = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let flags = fields.get(8).and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0);
        let name = fields.get(9)?;
        (fields.get(1) == Some(&"00") && flags & 0x201 == 1 && *name != "lo").then(|| (*name).to_owned())
    };
    let v6 = text.lines().find_map(is_default);
    match (v4, v6) {
        (Some(name), _) => Check::ok(AREA, NAME, format!("by {name}")),
        (None, Some(name)) => Check::ok(AREA, NAME, format!("by {name}, IPv6 alone")),
        (None, None) => {
            let fix = "is the router there, and does it give addresses (DHCP)? `ip route`";
            Check::warning(AREA, NAME, "no default route: nothing beyond this network can be reached", fix)
        }
    }
}

/// Names and connections, all side by side.
pub fn afar(patient: &Patient) -> Vec<Waiting<'_>> {
    let Ok(config) = &patient.config else { return Vec::new() };
    let of = |far: Far| -> Waiting<'_> { Box::pin(async move { reach(patient, &far).await }) };
    fars(config).into_iter().map(of).collect()
}

async fn reach(patient: &Patient, far: &Far) -> Looked {
    let Far { host, port } = far;
    let name = format!("{host}:{port}");
    let began = patient.clock.mono_ms();
    let took = || patient.clock.mono_ms().saturating_sub(began);
    let mut checks = Vec::new();
    let addresses: Vec<SocketAddr> = match timeout(STEP_LIMIT, lookup_host((host.as_str(), *port))).await {
        Ok(Ok(addresses)) => addresses.take(ADDRESSES_MAX).collect(),
        failed => {
            let why = match failed {
                Ok(Err(error)) => error.to_string(),
                _ => format!("no answer from DNS within {} s", STEP_LIMIT.as_secs()),
            };
            patient.unreached().insert((host.clone(), *port));
            let fix = format!(
                "is the name right, and is there a DNS server? `getent hosts {host}`, `resolvectl query {host}`"
            );
            return vec![
                Check::fault(AREA, "network-name", format!("{host} can not be resolved: {why}"), fix).of(name),
            ];
        }
    };
    if host.parse::<IpAddr>().is_err() {
        let list: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
        let seen = format!("{} in {} ms", list.join(", "), took());
        checks.push(Check::ok(AREA, "network-name", seen).of(name.clone()));
    }
    let began = patient.clock.mono_ms();
    let connected = match timeout(STEP_LIMIT, first_of(&addresses)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", STEP_LIMIT.as_secs()))),
    };
    checks.push(match connected {
        Ok(address) => {
            let ms = patient.clock.mono_ms().saturating_sub(began);
            Check::ok(AREA, "network-connect", format!("{address} answers in {ms} ms")).of(name)
        }
        Err(error) => {
            patient.unreached().insert((host.clone(), *port));
            let (seen, fix) = words(&error, *port);
            Check::fault(AREA, "network-connect", seen, fix).of(name)
        }
    });
    checks
}

/// The first that lets us: a name often has an address that leads nowhere.
async fn first_of(addresses: &[SocketAddr]) -> io::Result<SocketAddr> {
    let ask = |address: SocketAddr| async move { TcpStream::connect(address).await.map(|_| address) };
    let mut asked: FuturesUnordered<_> = addresses.iter().map(|address| ask(*address)).collect();
    let mut last = io::Error::other("the name has no address");
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(address) => return Ok(address),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn words(error: &io::Error, port: u16) -> (String, String) {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            format!("refused: the machine is there, and nothing listens on port {port}"),
            "is the port right, and does the service run there?".to_owned(),
        ),
        io::ErrorKind::TimedOut => (
            format!("timed out: {error}; what goes there is swallowed"),
            format!("a firewall on the way (outgoing TCP {port} must be open), or a wrong address"),
        ),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            (format!("unreachable: {error}"), "no way there: `ip route get` its address".to_owned())
        }
        _ => (error.to_string(), "`ip route`, `ip address`".to_owned()),
    }
}
