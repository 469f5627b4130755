//! MQTT 5: reasons in every answer, content types, expiry, topic aliases, and a broker that says why it closes.

use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::SubscribeFilter;
use rumqttc::mqttbytes::v5::{
    DisconnectReasonCode, LastWill, Packet, PubAckReason, PublishProperties, SubscribeReasonCode,
};
use rumqttc::{
    AsyncClient, ClientError, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, PublishNotice,
    PublishNoticeError, PublishOptions, SessionMode, StateError, SubscribeNoticeError, TopicAliasPolicy,
};

use super::{
    CONNECT_TIMEOUT_S, Failure, Goodbye, IN_FLIGHT_MAX, PACKET_BYTES_MAX, PublishError, REQUESTS_MAX, Step, Terms,
    is_unheard,
};
use crate::link::Message;
use crate::telemetry::logs::chain;

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
        options.set_topic_alias_policy(TopicAliasPolicy::Lru);
        options.set_session_mode(SessionMode::Clean);
        options.set_max_packet_size(Some(PACKET_BYTES_MAX));
        options.set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX);
        if let Some(topic) = &presence.topic {
            options.set_last_will(LastWill::new(topic, presence.gone.to_vec(), QoS::AtLeastOnce, true, None));
        }
        if let Some((username, password)) = login {
            options.set_credentials(username, password);
        }
        options.set_socket_connector(move |_, network| route.clone().connect(network));
        // What the network options say of it has no effect in this library.
        options.set_connect_timeout(Duration::from_secs(CONNECT_TIMEOUT_S));
        let mut network = options.network_options();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, eventloop) = AsyncClient::builder(options).capacity(REQUESTS_MAX).build();
        Self { client, eventloop }
    }

    pub async fn poll(&mut self) -> Result<Step, Failure> {
        Ok(match self.eventloop.poll().await.map_err(|error| failure(&error))? {
            Event::Incoming(Packet::ConnAck(answer)) => {
                let most = answer.properties.and_then(|properties| properties.max_packet_size);
                let packet_bytes_max = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
                Step::Taken { packet_bytes_max }
            }
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
            Event::Outgoing(_) | Event::Auth(_) => Step::Other,
        })
    }
}

/// Puts a message at QoS 1 on its way.
pub async fn publish(client: &AsyncClient, message: &Message) -> Result<PublishNotice, ClientError> {
    let expiry = message.expires.map(|after| u32::try_from(after.as_secs()).unwrap_or(u32::MAX));
    let properties = PublishProperties {
        content_type: message.content_type.map(str::to_owned),
        message_expiry_interval: expiry,
        ..PublishProperties::default()
    };
    let mut options = PublishOptions::new(QoS::AtLeastOnce).retain(message.is_retained);
    if properties != PublishProperties::default() {
        options = options.properties(properties);
    }
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
        Err(SubscribeNoticeError::V5SubAckFailure(reasons)) => {
            Some(Err(PublishError::Refused { reason: format!("{reasons:?}") }))
        }
        Err(_) => None,
    }
}

/// Waits for the PUBACK. `None`: the connection ended before.
pub async fn confirmed(notice: PublishNotice) -> Option<Result<(), PublishError>> {
    match notice.wait_completion_async().await {
        Ok(()) => Some(Ok(())),
        Err(PublishNoticeError::V5PubAck(reason)) => Some(Err(verdict(reason))),
        Err(_) => None,
    }
}

/// MQTT 5, section 3.4.2.1: what a PUBACK's reason means for the message.
fn verdict(reason: PubAckReason) -> PublishError {
    let words = format!("{reason:?}");
    match reason {
        PubAckReason::QuotaExceeded
        | PubAckReason::UnspecifiedError
        | PubAckReason::ImplementationSpecificError
        | PubAckReason::PacketIdentifierInUse => PublishError::NotNow { reason: words },
        _ => PublishError::Refused { reason: words },
    }
}

/// MQTT 5, section 3.14.2.1: what a broker closes a connection for that will happen again with the same message.
fn is_dislike(reason: DisconnectReasonCode) -> bool {
    matches!(
        reason,
        DisconnectReasonCode::MalformedPacket
            | DisconnectReasonCode::ProtocolError
            | DisconnectReasonCode::NotAuthorized
            | DisconnectReasonCode::TopicNameInvalid
            | DisconnectReasonCode::PacketTooLarge
            | DisconnectReasonCode::PayloadFormatInvalid
            | DisconnectReasonCode::RetainNotSupported
            | DisconnectReasonCode::QoSNotSupported
    )
}

fn failure(error: &ConnectionError) -> Failure {
    let is_timeout = matches!(error, ConnectionError::Timeout(_));
    Failure {
        words: chain(error),
        is_timeout,
        is_unheard: is_timeout || matches!(error, ConnectionError::Io(error) if is_unheard(error)),
        goodbye: goodbye_in(error),
    }
}

/// The reason of the DISCONNECT that the broker sent.
fn goodbye_in(error: &ConnectionError) -> Option<Goodbye> {
    let ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) = error else { return None };
    Some(match reason_code {
        DisconnectReasonCode::SessionTakenOver => Goodbye::TakenOver,
        reason if is_dislike(*reason) => Goodbye::Disliked(format!("{reason:?}")),
        reason => Goodbye::Other(format!("{reason:?}")),
    })
}
