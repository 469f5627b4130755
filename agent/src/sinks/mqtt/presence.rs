//! Who connects for a sink, and what is said of the device while it is connected and when it is gone.

use std::sync::Arc;

use model::{Event, EventKind, Record, SinkId};
use tracing::warn;

use crate::config::{Config, InForce, MqttConfig, SinkConfig, SinkKind};
use crate::link::{Listening, Presence};
use crate::sinks::runner::Surroundings;

/// The id that a sink connects with. Two connections with one id throw each other out for ever; the first sink has the
/// device's.
pub fn client_id(config: &Config, sink: &SinkId) -> String {
    let is_mqtt = |sink: &&SinkConfig| matches!(sink.kind, SinkKind::Mqtt(_));
    let is_first = config.sinks.iter().find(is_mqtt).is_none_or(|first| first.id == *sink);
    if is_first { config.device.id.to_string() } else { format!("{}-{sink}", config.device.id) }
}

/// The presence of the sink that works with `with`.
pub fn of(in_force: &InForce, mqtt: &MqttConfig, with: &Surroundings, listening: Option<Listening>) -> Presence {
    let config = in_force.get();
    let Config { device, .. } = &*config;
    let client_id = client_id(&config, &with.id);
    let (device, in_force, clock, reader) =
        (device.id.clone(), in_force.clone(), with.clock.clone(), with.reader.clone());
    let health = with.health.clone();
    let birth = move || {
        let config = in_force.get();
        let birth = serde_json::json!({
            "state": "online", "device": device, "version": env!("CARGO_PKG_VERSION"), "config_hash": config.hash,
            "revision": config.revision(),
            "boot_id": clock.boot().to_string(), "time": clock.now(), "clock": clock.stamp().clock,
            "backlog": health.lag(reader.head().0),
        });
        birth.to_string().into()
    };
    let (inbox, clock, id) = (with.inbox.clone(), with.clock.clone(), client_id.clone());
    let on_taken_over = move || {
        let event = Event::new(clock.stamp(), EventKind::Alarm).with("what", "client-id-taken").with("id", id.as_str());
        if inbox.offer(vec![Record::Event(Box::new(event))]).is_err() {
            warn!("no room for the alarm that our client id is taken");
        }
    };
    let gone = serde_json::json!({"state": "offline"}).to_string().into();
    let topic = Some(format!("{}/status", mqtt.beside));
    Presence { client_id, topic, birth: Arc::new(birth), gone, on_taken_over: Arc::new(on_taken_over), listening }
}
