//! The test house: real ports, brokers, stores and readers around the real binary.
//!
//! Nothing in here knows the agent's code. An instrument is a pseudo-terminal, a broker is mosquitto (amqtt where it
//! must be an old one, aedes where it must be a strict one), a store is `SeaweedFS` (and moto), a consumer is paho or `DuckDB`, and what to expect is computed by Python from the capture itself. The
//! stories in `tests/tests/` are written against the outside of the agent only.
//!
//! Every wait has a limit and says what it waited for. Every process started here dies with the test that started
//! it, even when that test is killed.

pub mod patience;
pub mod places;
pub mod process;

pub mod player;
pub mod pty;
pub mod talker;
pub mod uart;

pub mod aedes;
pub mod air;
pub mod board;
pub mod depot;
pub mod elder;
pub mod iot;
pub mod mosquitto;
pub mod moto;
pub mod pki;
pub mod provider;
pub mod road;
pub mod seaweed;
pub mod subscriber;
pub mod web;
pub mod wire;

pub mod counted;
pub mod desk;
pub mod lake;
pub mod row;

pub mod captures;
pub mod operator;
pub mod oracle;
pub mod picky;

pub mod agent;
pub mod faketime;
pub mod measure;
pub mod screen;
pub mod standing;
pub mod terminal;
