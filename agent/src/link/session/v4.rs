//! MQTT 3.1.1: a PUBACK says yes and nothing else, and a broker that dislikes something just hangs up.
//!
//! What MQTT 5 tells beside a payload falls away: content type, expiry, topic aliases, the largest packet.

use rumqttc4::mqttbytes::QoS;
use rumqttc4::mqttbytes::v4::{LastWill, Packet, SubscribeFilter, SubscribeReasonCode};
use rumqttc4::{
    AsyncClient, ClientError, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, PublishNotice, PublishOptions,
    SessionMode, SubscribeNoticeError,
};

use super::{
    CONNECT_TIMEOUT_S, Failure, IN_FLIGHT_MAX, PACKET_BYTES_MAX, PublishError, REQUESTS_MAX, Step, Terms, is_unheard,
};
use crate::link::Message;
use crate::telemetry::logs::chain;

/// Largest packet that is taken. A broker can not be told, as in MQTT 5, to keep what is larger than any message may be to itself:
/// it is heard, to be refused. Retained, it would end each connection and keep the device from being told better.
const HEARD_BYTES_MAX: usize = 4 << 20;

/// A connection's event loop, and the way into it.
pub struct Connection {
    pub client: AsyncClient,
    eventloop: EventLoop,
}

impl Connection {
    pub fn new(terms: Terms<'_>) -> Self {
        let Terms { route, presence, ping_after_s, login } = terms;
        let mut options = MqttOptions::new(&presence.client_id, (route.target.host.as_str(), route.target.port));
        options.set_keep_alive(ping_after_s);
        options.set_session_mode(SessionMode::Clean);
        let packet_bytes_max = usize::try_from(PACKET_BYTES_MAX).unwrap_or(usize::MAX);
        options.set_max_packet_size(HEARD_BYTES_MAX, packet_bytes_max);
        options.set_inflight(IN_FLIGHT_MAX);
        if let Some(topic) = &presence.topic {
            options.set_last_will(LastWill::new(topic, presence.gone.to_vec(), QoS::AtLeastOnce, true));
        }
        if let Some((username, password)) = login {
            options.set_credentials(username, password);
        }
        options.set_socket_connector(move |_, network| route.clone().connect(network));
        let (client, mut eventloop) = AsyncClient::builder(options).capacity(REQUESTS_MAX).build();
        let mut network = eventloop.network_options();
        network.set_connection_timeout(CONNECT_TIMEOUT_S);
        network.set_tcp_nodelay(true);
        eventloop.set_network_options(network);
        Self { client, eventloop }
    }

    pub async fn poll(&mut self) -> Result<Step, Failure> {
        Ok(match self.eventloop.poll().await.map_err(|error| failure(&error))? {
            Event::Incoming(Packet::ConnAck(_)) => Step::Taken { packet_bytes_max: usize::MAX },
            Event::Incoming(Packet::Publish(message)) => {
                Step::Message { topic: message.topic, payload: message.payload }
            }
            Event::Incoming(Packet::SubAck(answer)) => Step::Subscribed {
                refused: answer
                    .return_codes
                    .iter()
                    .filter(|code| !matches!(code, SubscribeReasonCode::Success(_)))
                    .count(),
            },
            Event::Incoming(packet) => {
                Step::Heard { is_answer: matches!(packet, Packet::PubAck(_) | Packet::PingResp) }
            }
            Event::Outgoing(Outgoing::Publish(_) | Outgoing::PingReq | Outgoing::Subscribe(_)) => Step::Asked,
            Event::Outgoing(_) => Step::Other,
        })
    }
}

/// Puts a message at QoS 1 on its way.
pub async fn publish(client: &AsyncClient, message: &Message) -> Result<PublishNotice, ClientError> {
    let options = PublishOptions::new(QoS::AtLeastOnce).retain(message.is_retained);
    client.publish_tracked(message.topic.clone(), message.payload.clone(), options).await
}

/// The same for what is retained on the status topic, without waiting for a place.
pub fn try_retain(client: &AsyncClient, topic: &str, payload: bytes::Bytes) -> Result<(), ClientError> {
    client.try_publish(topic.to_owned(), payload, PublishOptions::new(QoS::AtLeastOnce).retained())
}

/// Subscribes at QoS 1, without waiting for a place.
pub fn try_subscribe(client: &AsyncClient, topics: &[String]) -> Result<(), ClientError> {
    client.try_subscribe_many(topics.iter().map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce)))
}

/// The same, and waits for the SUBACK. `None`: the connection ended before.
pub async fn subscribe(client: &AsyncClient, topics: &[String]) -> Option<Result<(), PublishError>> {
    let filters = topics.iter().map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce));
    match client.subscribe_many_tracked(filters).await.ok()?.wait_completion_async().await {
        Ok(()) => Some(Ok(())),
        Err(SubscribeNoticeError::V4SubAckFailure(reasons)) => {
            Some(Err(PublishError::Refused { reason: format!("{reasons:?}") }))
        }
        Err(_) => None,
    }
}

/// Waits for the PUBACK; false: the connection ended before.
pub async fn confirmed(notice: PublishNotice) -> bool {
    notice.wait_completion_async().await.is_ok()
}

fn failure(error: &ConnectionError) -> Failure {
    let is_timeout = matches!(error, ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout);
    Failure {
        words: chain(error),
        is_timeout,
        is_unheard: is_timeout || matches!(error, ConnectionError::Io(error) if is_unheard(error)),
        goodbye: None,
    }
}
