//! Each manifest line is published as soon as its object is in the lake, each once and in order, whatever the broker does.

use e2e::mosquitto::Mosquitto;
use e2e::patience::wait_for;
use e2e::subscriber::Subscriber;

use super::*;

#[test]
fn a_consumer_hears_of_every_object_in_order_also_of_those_from_an_outage() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::started(&dir.path().join("broker"));
    let subscriber = Subscriber::start(&broker, "farm/farm/gw-1/manifest", &dir.path().join("heard"));
    let lake = dir.path().join("lake");
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "100ms")
        + &agent::counter("counter", port.path())
        + &agent::file_sink("usb", &lake, "ndjson").replacen("batch", "announce = \"cloud\"\nbatch", 1)
        + &agent::mqtt_sink("cloud", &broker.url());
    let mut agent = Agent::started(dir.path(), &config);
    agent.wait_open(&port, "counter");
    let talker = Talker::start(port, LINES_PER_SECOND, |number| format!("n,{number}\r\n"));
    let objects = || if lake.join("readings").is_dir() { files(&lake, "/readings/").len() } else { 0 };
    let until = |what: &str, agent: &Agent, is_so: &dyn Fn() -> bool| {
        wait_for(what, LIMIT, || agent.log_tail(), || is_so().then_some(()));
    };
    until("the first object announced", &agent, &|| !subscriber.messages().is_empty());
    let before = objects();
    broker.stop();
    until("objects while nobody listens", &agent, &|| objects() >= before + 2);
    // And the agent itself is gone before the broker is back.
    agent.kill();
    agent.start();
    agent.wait_ready();
    broker.start();
    until("an object after all that", &agent, &|| objects() >= before + 4);
    let _port = talker.stop();
    agent.wait_delivered(LIMIT);
    let heard = || -> Vec<Value> { subscriber.messages().into_iter().map(|message| message.payload).collect() };
    let is_newest_heard = || {
        let newest = files(&lake, "/readings/").pop().map(|path| path.display().to_string()).unwrap_or_default();
        heard().iter().any(|line| newest.ends_with(line["key"].as_str().unwrap_or("none")))
    };
    until("the newest object announced", &agent, &is_newest_heard);
    agent.terminate();
    // A crash may say the one that was under way again: the same line, word for word.
    let mut told = heard();
    told.dedup();
    assert_eq!(told, lines(&agent.cli(&["--json", "lake", "ls", "usb"])));
    assert!(subscriber.messages().iter().all(|message| message.content_type.as_deref() == Some("application/json")));
}

#[test]
fn an_announcement_over_a_sink_that_is_none_is_refused_where_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tidegate.toml");
    let text = agent::preamble(dir.path(), "1s")
        + &agent::file_sink("usb", dir.path(), "ndjson").replacen("batch", "announce = \"clout\"\nbatch", 1)
        + &agent::mqtt_sink("cloud", "mqtt://localhost");
    fs::write(&config, text).unwrap();
    let output = agent::run(&["check", "--config", config.to_str().unwrap()]);
    ends_with(&output, exit::CONFIG);
    let said = agent::stderr(&output) + &agent::stdout(&output);
    assert!(said.contains("there is no mqtt sink \"clout\"") && said.contains("did you mean \"cloud\""), "{said}");
}
