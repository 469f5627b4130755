//! MQTT brokers: TLS, the login, a message to ourselves; over the link's own way there, in its words.

use super::{Looked, Patient, STEP_LIMIT, Waiting};
use crate::config::{Config, MqttConfig, MqttProfile, SinkConfig, SinkKind};
use crate::control::check::{Area, Check};
use crate::control::status::CERTIFICATE_DAYS_MIN;
use crate::link::visit::{Errand, Stage, Visit, visit};
use crate::sinks::mqtt::presence::client_id;
use crate::telemetry::health::{TlsHealth, Validity};

const AREA: Area = Area::Broker;

/// Visits to all brokers, side by side.
pub fn visits(patient: &Patient) -> Vec<Waiting<'_>> {
    let Ok(config) = &patient.config else { return Vec::new() };
    let mut visits: Vec<Waiting<'_>> = Vec::new();
    for sink in &config.sinks {
        let SinkKind::Mqtt(mqtt) = &sink.kind else { continue };
        visits.push(Box::pin(async move {
            let checks = of_broker(patient, config, sink, mqtt).await;
            checks.into_iter().map(|check| check.of(sink.id.as_str())).collect()
        }));
    }
    visits
}

async fn of_broker(patient: &Patient, config: &Config, sink: &SinkConfig, mqtt: &MqttConfig) -> Looked {
    let (host, port) = mqtt.proxy.as_ref().map_or((&mqtt.host, mqtt.port), |proxy| (&proxy.host, proxy.port));
    if patient.was_not_reached(host, port) {
        let seen = format!("not tried: {host}:{port} can not be reached");
        return vec![Check::fault(AREA, "broker-reached", seen, "mend the network first")];
    }
    let is_aws = mqtt.profile == MqttProfile::AwsIot;
    // A policy of AWS IoT lets the thing's own id in as a rule, and two with one id throw each other out.
    let is_taken = is_aws && patient.agent.may_run();
    let own = client_id(config, &sink.id);
    let id = if is_aws { own } else { format!("{own}-doctor") };
    let topic = format!("{}/doctor", mqtt.beside);
    let errand = (!is_taken).then_some(Errand { client_id: &id, topic: &topic, listens: !is_aws });
    let visit = visit(mqtt, errand, &patient.clock, STEP_LIMIT).await;
    let mut checks = Vec::new();
    if let Some(tls) = &visit.tls {
        // Of ours the agent says it, where it answers.
        if patient.agent.status().is_none() {
            checks.extend(tls.validity.map(|validity| ours(validity, patient)));
        }
        checks.extend(handshake(tls, patient, &visit));
    }
    let delivers = patient.agent.status().is_some_and(|status| {
        status.sinks.iter().any(|it| it.id == sink.id.as_str() && it.state == "ok" && it.delivered_total > 0)
    });
    match &visit.ended {
        Some((stage, words)) => checks.push(ended(*stage, words, mqtt, &topic, delivers)),
        None if is_taken => {
            let seen = "not tried: the agent is connected under the thing's name; sink-delivers is its word";
            checks.push(Check::ok(AREA, "broker-login", seen));
        }
        None => {}
    }
    let came = visit.ended.as_ref().map(|(stage, _)| *stage);
    if !is_taken && came.is_none_or(|stage| stage > Stage::Login) {
        let protocol = visit.protocol.unwrap_or_default();
        let at = checks.len() - usize::from(came.is_some());
        checks.insert(at, Check::ok(AREA, "broker-login", format!("taken as \"{id}\", MQTT {protocol}")));
    }
    if !is_taken && came.is_none() {
        checks.push(published(&visit, &topic, is_aws));
    }
    checks
}

/// MQTT 3.1.1 has no word for a message that is refused; AWS closes the connection over it.
fn published(visit: &Visit, topic: &str, is_aws: bool) -> Check {
    const NAME: &str = "broker-publish";
    match (visit.is_echoed, visit.protocol) {
        (true, _) => Check::ok(AREA, NAME, format!("{topic}: published, and come back")),
        (false, protocol) if is_aws || protocol == Some("5") => {
            Check::ok(AREA, NAME, format!("{topic}: the broker has taken it"))
        }
        (false, _) => Check::warning(
            AREA,
            NAME,
            format!("{topic}: confirmed, and not come back; in MQTT 3.1.1 a broker that refuses says the same"),
            "does the broker let this device publish and subscribe below its own topics?",
        ),
    }
}

fn ended(stage: Stage, words: &str, mqtt: &MqttConfig, topic: &str, delivers: bool) -> Check {
    let (host, port) = (&mqtt.host, mqtt.port);
    match stage {
        Stage::Files => {
            let fix = "mend the files that [sink.NAME.tls] and password_file name, or run `tidegate provision`";
            Check::fault(AREA, "broker-files", words, fix)
        }
        Stage::Way => {
            let fix = match &mqtt.proxy {
                Some(proxy) => {
                    format!("does the proxy {}:{} let {host}:{port} through, and us in?", proxy.host, proxy.port)
                }
                None => "`tidegate doctor network`".to_owned(),
            };
            Check::fault(AREA, "broker-reached", words, fix)
        }
        Stage::Tls => Check::fault(AREA, "broker-tls", words, tls_fix(words)),
        Stage::Login => Check::fault(AREA, "broker-login", words, login_fix(words, host, port)),
        // Readings go to another topic, and they get through.
        Stage::Publish if delivers => {
            let fix = format!("let the device publish to {topic}, or leave it: readings are delivered");
            Check::warning(AREA, "broker-publish", format!("{topic}: {words}"), fix)
        }
        Stage::Publish => {
            let fix = format!("let this device publish to {} and {}/#: its policy or ACL", mqtt.topic, mqtt.beside);
            Check::fault(AREA, "broker-publish", format!("{topic}: {words}"), fix)
        }
    }
}

/// The words already say what is wrong; this is where to go.
fn tls_fix(words: &str) -> &'static str {
    const FIXES: [(&str, &str); 9] = [
        ("refused our certificate", "a certificate that the broker knows: `tidegate provision`, or ask who runs it"),
        ("wants a certificate from us", "set cert and key in [sink.NAME.tls], or run `tidegate provision`"),
        ("expired", "look at the clock first (`timedatectl`), then at the certificate"),
        ("valid from", "look at the clock first (`timedatectl`), then at the certificate"),
        ("the clock is wrong", "`timedatectl`"),
        ("from an authority", "put the broker's authority (PEM) into [sink.NAME.tls] ca"),
        ("certificate is for", "write the name that the certificate has into `url`"),
        ("does not speak TLS", "the port for mqtts:// is 8883 as a rule, the one for mqtt:// 1883"),
        ("does this port speak TLS", "the port for mqtts:// is 8883 as a rule; on 443 AWS wants an alpn"),
    ];
    FIXES
        .iter()
        .find(|(part, _)| words.contains(part))
        .map_or("`tidegate check`: url and [sink.NAME.tls]", |(_, fix)| fix)
}

fn login_fix(words: &str, host: &str, port: u16) -> String {
    let is_login = ["NotAuthorized", "BadUserNamePassword", "not authorized", "password", "BadUserName", "Banned"];
    if is_login.iter().any(|part| words.contains(part)) {
        return "is the username known there, and the password in password_file the right one?".to_owned();
    }
    if words.contains("ClientIdentifier") || words.contains("client id") {
        return "does the broker let this client id in? [device] id is what it is made of".to_owned();
    }
    format!("is {host}:{port} an MQTT broker, and not a web server? mqtt:// is 1883 as a rule, mqtts:// 8883")
}

fn ours(validity: Validity, patient: &Patient) -> Check {
    const NAME: &str = "sink-certificate";
    let (now, end) = (patient.clock.now(), validity.not_after.day());
    if validity.not_before > now {
        let seen = format!("ours is valid from {} on, and it is {}", validity.not_before.day(), now.day());
        return Check::fault(AREA, NAME, seen, "is the clock right? `timedatectl`");
    }
    match validity.days_left(now) {
        ..0 => Check::fault(AREA, NAME, format!("ours expired on {end}"), "`tidegate provision` fetches another"),
        days @ 0..CERTIFICATE_DAYS_MIN => {
            let seen = format!("ours expires on {end}, in {days} days");
            Check::warning(AREA, NAME, seen, "`tidegate provision` fetches another")
        }
        days => Check::ok(AREA, NAME, format!("ours is valid until {end}, {days} days from now")),
    }
}

/// What was agreed on, where it came so far.
fn handshake(tls: &TlsHealth, patient: &Patient, visit: &Visit) -> Looked {
    let Some(session) = &tls.session else { return Vec::new() };
    let alpn = session.alpn.as_ref().map(|alpn| format!(", {alpn}")).unwrap_or_default();
    let mut checks = Vec::new();
    // A broker that refuses our certificate does so behind a handshake that went well.
    if !matches!(visit.ended, Some((Stage::Tls, _))) {
        checks.push(Check::ok(AREA, "broker-tls", format!("{}{alpn}", session.version)));
    }
    if let Some(theirs) = session.broker {
        const NAME: &str = "broker-certificate";
        let (days, end) = (theirs.days_left(patient.clock.now()), theirs.not_after.day());
        let seen = format!("the broker's is valid until {end}, {days} days from now");
        checks.push(if days < CERTIFICATE_DAYS_MIN {
            Check::warning(AREA, NAME, seen, "tell who runs the broker: it must be renewed there")
        } else {
            Check::ok(AREA, NAME, seen)
        });
    }
    checks
}
