use super::*;
use crate::auth;

fn read(flags: &Flags, file: &str) -> Result<Settings, Vec<String>> {
    super::read::settings(flags, Ok(file.to_owned())).map_err(|error| error.0)
}

#[test]
fn without_settings_there_is_an_app_for_trials() {
    let settings = read(&Flags::default(), "").unwrap();
    assert_eq!(settings, Settings::new(vec![App::for_trials()]));
    assert!(!settings.apps[0].client_events);
    assert_eq!(settings.cleanup.event_delay, Duration::from_secs(3));
    assert!(settings.cleanup.validate().is_ok());
    assert_eq!(auth::MAX_AGE_S, 600);
}

#[test]
fn webhooks_are_tried_for_five_minutes() {
    let config = cleanup(Duration::from_secs(3), 100_000, 1);
    let pauses = (0..config.sink_retries)
        .map(|retry| (config.sink_backoff * (1 << retry.min(20))).min(config.sink_backoff_max));
    let total: Duration = pauses.sum();
    assert!((Duration::from_secs(300)..Duration::from_secs(330)).contains(&total), "{total:?}");
}

#[test]
fn flags_have_precedence_over_the_file() {
    let file = r#"
        listen = "127.0.0.1:1"
        grace_ms = 100
        webhook = "http://localhost/all"
        activity_timeout_s = 30
        [[apps]]
        id = "1"
        key = "k1"
        secret = "s1"
        client_events = true
        webhook = "http://localhost/1"
        [cleanup]
        batch_max = 32
        sweep_every_ms = 500
    "#;
    let flags = Flags {
        listen: Some("127.0.0.1:2".to_owned()),
        apps: vec!["2:k2:s:2".to_owned()],
        limit_per_ip: Some("5".to_owned()),
        grace_ms: Some("0".to_owned()),
        ..Flags::default()
    };
    let settings = read(&flags, file).unwrap();
    assert_eq!(settings.listen.port(), 2);
    assert_eq!((settings.limit_per_ip, settings.activity_timeout.as_secs()), (Some(5), 30));
    let of_file =
        App { client_events: true, webhook: Some("http://localhost/1".into()), ..App::new("1", "k1", "s1") };
    let of_flag = App { webhook: Some("http://localhost/all".into()), ..App::new("2", "k2", "s:2") };
    assert_eq!(settings.apps, [of_file, of_flag]);
    assert_eq!((settings.cleanup.batch_max, settings.cleanup.sweep_every), (32, Duration::from_millis(500)));
    assert_eq!(settings.cleanup.event_delay, Duration::ZERO);
}

#[test]
fn all_errors_are_reported_at_once() {
    let file = r#"
        listen = "here"
        webhook = "ftp://x"
        client_events = 7
        limit_per_ip = 0
        conections = 5
        activity_timeout_s = "long"
        [[apps]]
        id = "a b"
        key = 7
        [[apps]]
        id = "x"
        key = "k"
        secret = "s"
        limit = 1
        [[apps]]
        id = "x"
        key = "k2"
        secret = ""
        [cleanup]
        batch_max = 0
        batch_maxx = 0
        sink_batch = "many"
    "#;
    let flags =
        Flags { apps: vec!["id:key".to_owned()], grace_ms: Some("soon".to_owned()), ..Flags::default() };
    let problems = read(&flags, file).unwrap_err();
    let expected = [
        "listen is not",
        "grace_ms is not a number",
        "limit_per_ip is not a number from 1",
        "webhook is not an address",
        "client_events is a integer",
        "apps[0].key is a integer",
        "apps[0].secret is missing",
        "apps[1].limit is not known",
        "--app does not have the form",
        "apps an id and a key",
        "apps the app a b has no secret",
        "apps the id x is given twice",
        "apps the app x has no secret",
        "activity_timeout_s is not a number",
        "cleanup.batch_maxx is not known",
        "cleanup.sink_batch",
        "cleanup: ",
        "conections is not known",
    ];
    for start in expected {
        assert!(problems.iter().any(|problem| problem.starts_with(start)), "{start}: {problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn a_file_that_is_not_toml_is_an_error() {
    assert_eq!(read(&Flags::default(), "listen =").unwrap_err().len(), 1);
    let missing = Flags { config: Some("/no/such/file".into()), ..Flags::default() };
    assert!(Settings::load(&missing).unwrap_err().to_string().contains("/no/such/file"));
    // It does not hide what is wrong with the flags.
    let both = Flags { listen: Some("here".to_owned()), ..missing };
    assert_eq!(Settings::load(&both).unwrap_err().0.len(), 2);
    assert_eq!(read(&both, "listen =").unwrap_err().len(), 2);
}

#[test]
fn secrets_are_not_shown() {
    let settings = Settings::new(vec![App::new("1", "k", "hidden")]);
    assert!(!format!("{settings:?}").contains("hidden"));
    let flags = Flags { apps: vec!["hidden".to_owned()], ..Flags::default() };
    assert!(!read(&flags, "").unwrap_err().concat().contains("hidden"));
}

#[test]
fn there_are_no_more_connections_than_file_descriptors() {
    let mut settings = Settings { connections: 1000, ..Settings::new(Vec::new()) };
    assert!(!settings.fit(u64::MAX) && !settings.fit(1256) && settings.connections == 1000);
    assert!(settings.fit(1255) && settings.connections == 999);
    assert!(settings.fit(0) && settings.connections == 1);
}

#[test]
fn settings_of_the_pipeline_have_other_names() {
    let cases = [
        ("queue_buffer_size = 777", "capacity = 777"),
        ("batch_size = 7", "batch_max = 7"),
        ("batch_timeout_ms = 7", "linger_ms = 7"),
        ("worker_threads = 2", "workers = 2"),
        ("max_retry_attempts = 7", "sink_retries = 7"),
        ("fallback_to_sync = false", "overflow = \"defer\""),
    ];
    let cleanup = |line: &str| read(&Flags::default(), &format!("[cleanup]\n{line}"));
    for (alias, name) in cases {
        assert_eq!(cleanup(alias).unwrap(), cleanup(name).unwrap(), "{alias}");
        assert_ne!(cleanup(name).unwrap(), read(&Flags::default(), "").unwrap(), "{name}");
        let twice = cleanup(&format!("{alias}\n{name}")).unwrap_err();
        assert!(twice[0].ends_with("is given twice"), "{twice:?}");
    }
}

#[test]
fn no_end_of_a_connection_is_refused_and_the_grace_has_one_setting() {
    let file = "[cleanup]\noverflow = \"reject\"\nevent_delay_ms = 5\nevent_delay_closed_ms = 5";
    let problems = read(&Flags::default(), file).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
}
