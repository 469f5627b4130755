//! Manifests that were lost are made again from the objects, and the lake says so.

use super::*;

/// What `rebuild` says in the end.
fn rebuilt(agent: &Agent, args: &[&str], code: i32) -> Value {
    let output = agent.cli(&[&["--json", "lake", "rebuild"], args].concat());
    ends_with(&output, code);
    lines(&output).pop().expect("a sum")
}

#[test]
fn a_lake_without_manifests_gets_them_from_its_objects() {
    let dir = tempfile::tempdir().unwrap();
    let store = Seaweed::shared();
    store.make_bucket("rebuilt");
    for format in ["parquet", "ndjson"] {
        let dir = dir.path().join(format);
        fs::create_dir(&dir).unwrap();
        let lake = dir.join("lake");
        let agent = heard(&dir, &agent::file_sink("usb", &lake, format));
        let path = lake.to_str().unwrap().to_owned();
        let rows_of = |lake: &str| agent::stdout(&agent.cli(&["lake", "get", lake]));
        let (before, count) = (rows_of(&path), files(&lake, "/readings/").len());
        let lines_of = |lake: &str| lines(&agent.cli(&["--json", "lake", "ls", lake]));
        let written = lines_of(&path);

        fs::remove_dir_all(lake.join("manifests")).unwrap();
        ends_with(&agent.cli(&["lake", "verify", &path]), exit::NOT_FINE);
        let sum = rebuilt(&agent, &[&path], 0);
        assert_eq!((&sum["objects"], &sum["made"]), (&count.into(), &count.into()), "{sum}");
        assert_eq!(found(&agent, &lake), []);
        assert_eq!(rows_of(&path), before);
        let verified = agent.cli(&["lake", "verify", &path]);
        assert!(agent::stdout(&verified).contains("were made again"), "{}", agent::stdout(&verified));

        // The same of every object but when it came there and what only the device can know.
        for (written, made) in written.iter().zip(lines_of(&path)) {
            assert_eq!(made["rebuilt"], true);
            for (name, value) in written.as_object().unwrap() {
                let is_of_device = ["uploaded_at", "prev"].contains(&name.as_str());
                let is_only_parquets = ["agent", "config_revision", "tags"].contains(&name.as_str());
                if !(is_of_device || is_only_parquets && format == "ndjson") {
                    assert_eq!(*value, made[name], "{name}");
                }
            }
        }
        // Again changes nothing.
        let manifests = files(&lake, "/manifests/");
        let bytes = |paths: &[PathBuf]| paths.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
        let first = bytes(&manifests);
        assert_eq!(rebuilt(&agent, &[&path], 0)["made"], 0);
        assert_eq!((files(&lake, "/manifests/"), bytes(&manifests)), (manifests.clone(), first));
    }
}

#[test]
fn lines_that_a_bucket_lacks_are_made_and_the_device_goes_on_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Seaweed::shared();
    store.make_bucket("patched");
    let sinks = agent::s3_sink("cloud", &store, "patched");
    let agent = heard(dir.path(), &sinks);
    let manifests: Vec<String> =
        store.keys("patched").into_iter().filter(|key| key.starts_with("manifests/")).collect();
    for key in &manifests {
        store.delete("patched", key);
    }
    // The device must not have its lines any more, or it would bring them again itself.
    fs::remove_dir_all(dir.path().join("journal/manifests")).unwrap();
    let made = rebuilt(&agent, &[], 0)["made"].as_u64().unwrap();
    assert!(made >= 3, "{made}");
    drop(agent);

    let agent = heard(dir.path(), &sinks);
    let verified = agent.cli(&["--json", "lake", "verify"]);
    ends_with(&verified, 0);
    let sum = lines(&verified).pop().unwrap();
    assert_eq!(sum["rebuilt"], made);
    assert!(sum["objects"].as_u64() > Some(made), "{sum}");
}

#[test]
fn an_object_that_can_not_be_read_is_named_and_the_others_get_their_lines() {
    let seed = seed();
    println!("SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let agent = heard(dir.path(), &agent::file_sink("usb", &lake, "parquet"));
    fs::remove_dir_all(lake.join("manifests")).unwrap();
    let objects = files(&lake, "/readings/");
    let whole = fs::read(&objects[0]).unwrap();
    let path = lake.to_str().unwrap().to_owned();
    // Whatever a damaged file does to the library that reads it, it does to a process of its own.
    let mut state = seed | 1;
    for _ in 0..20 {
        let mut damaged = whole.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(state >> 33).unwrap() % damaged.len();
            damaged[at] ^= 0xff;
        }
        fs::write(&objects[0], &damaged).unwrap();
        fs::remove_dir_all(lake.join("manifests")).ok();
        let output = agent.cli(&["--json", "lake", "rebuild", &path]);
        let all = lines(&output);
        let (sum, findings) = all.split_last().expect("a sum");
        let is_read = findings.is_empty();
        ends_with(&output, if is_read { 0 } else { exit::NOT_FINE });
        assert_eq!(sum["made"], objects.len() - findings.len());
        assert!(findings.iter().all(|finding| finding["finding"] == "unreadable"), "{findings:?}");
    }
}
