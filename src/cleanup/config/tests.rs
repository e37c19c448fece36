#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use super::*;

/// The rows of the first table in the docs of `Config`: the names and the defaults.
fn documented() -> Vec<(String, String)> {
    let rows = include_str!("../config.rs").lines().filter_map(|line| line.strip_prefix("/// | `"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>());
    let settings = cells.filter(|cells| cells.len() == 4);
    settings.map(|cells| (cells[0].to_owned(), cells[1].to_owned())).collect()
}

/// The fields of the default and their values, as `Debug` has them.
fn defaults() -> Vec<(String, String)> {
    let text = format!("{:#?}", Config::default());
    let fields = text.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(": "));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn r22_the_documented_defaults_are_those_of_the_code() {
    assert_eq!(documented(), defaults());
    assert_eq!(defaults().len(), 32);
}

#[test]
fn r22_the_default_is_valid() {
    assert_eq!(Config::default().validate(), Ok(()));
}

#[test]
fn r22_all_problems_are_reported_at_once() {
    let zero = Duration::ZERO;
    let config = Config {
        async_enabled: false,
        overflow: Overflow::Defer,
        workers: Workers::Fixed(NonZeroUsize::new(65).unwrap()),
        capacity: 0,
        high_water_percent: 101,
        low_water_percent: 101,
        batch_max: 0,
        linger: Duration::from_millis(60_001),
        sweep_every: zero,
        sweep_after: zero,
        breaker_failures: 0,
        breaker_window: zero,
        breaker_open: zero,
        breaker_jitter_percent: 101,
        breaker_probes: 0,
        events_pending: 0,
        sink_capacity: 0,
        sink_threads: 0,
        sink_batch: 0,
        sink_backoff: zero,
        rate_keys: 0,
        target_age: zero,
        drain_timeout: zero,
        ..Config::default()
    };
    let error = config.validate().unwrap_err();
    assert_eq!(error.problems().len(), 22, "{error}");
    let text = error.to_string();
    assert!(text.starts_with("invalid settings: async_enabled: ") && text.ends_with("microsecond"), "{text}");
}

/// Changes one setting of the default, and returns the problems.
fn problems(change: impl FnOnce(&mut Config)) -> Vec<Problem> {
    let mut config = Config::default();
    change(&mut config);
    config.validate().map_or_else(|error| error.problems().to_vec(), |()| Vec::new())
}

#[test]
fn r22_each_limit_holds_exactly() {
    let above = Config::CAPACITY_MAX + 1;
    assert_eq!(problems(|config| config.linger = Duration::from_secs(60)), []);
    assert_eq!(problems(|config| config.capacity = 64), []);
    assert_eq!(problems(|config| config.capacity = 63), [Problem::CapacityBelowBatch]);
    assert_eq!(problems(|config| config.capacity = above), [Problem::CapacityAboveMax]);
    assert_eq!(problems(|config| config.low_water_percent = 79), []);
    assert_eq!(problems(|config| config.low_water_percent = 80), [Problem::LowWaterNotBelowHigh]);
    assert_eq!(problems(|config| config.high_water_percent = 100), []);
    assert_eq!(problems(|config| config.breaker_failures = 65_537), [Problem::BreakerFailuresAboveMax]);
    assert_eq!(problems(|config| config.events_pending = above), [Problem::EventsPendingAboveMax]);
    assert_eq!(problems(|config| config.sink_capacity = above), [Problem::SinkCapacityAboveMax]);
    assert_eq!(problems(|config| config.sink_threads = 64), []);
    assert_eq!(problems(|config| config.sink_threads = 65), [Problem::SinkThreadsAboveMax]);
    assert_eq!(problems(|config| config.rate_keys = above), [Problem::RateKeysAboveMax]);
    assert_eq!(
        problems(|config| config.sink_backoff = Duration::from_secs(3)),
        [Problem::SinkBackoffMaxBelowFirst]
    );
    assert_eq!(problems(|config| config.async_enabled = false), []);
}

#[test]
fn r22_auto_is_a_quarter_of_the_processors() {
    let counts = [0, 1, 7, 8, 15, 16, 400].map(|processors| Workers::Auto.count(processors));
    assert_eq!(counts, [1, 1, 1, 2, 3, 4, 4]);
    assert_eq!(Workers::Fixed(NonZeroUsize::new(9).unwrap()).count(1), 9);
    assert_eq!(Config::default().inline_limit(3), 6);
}

#[test]
fn r22_reads_the_variables() {
    let config = Config::from_env(|name| {
        let value = match name {
            "CLEANUP_ASYNC_ENABLED" => "TRUE",
            "CLEANUP_FALLBACK_TO_SYNC" => "0",
            "CLEANUP_QUEUE_BUFFER_SIZE" => " 50000 ",
            "CLEANUP_BATCH_SIZE" => "25",
            "CLEANUP_BATCH_TIMEOUT_MS" => "50",
            "CLEANUP_WORKER_THREADS" => "2",
            "CLEANUP_MAX_RETRY_ATTEMPTS" => "5",
            other => panic!("{other} is not documented"),
        };
        Some(value.to_owned())
    });
    let expected = Config {
        overflow: Overflow::Defer,
        capacity: 50_000,
        batch_max: 25,
        linger: Duration::from_millis(50),
        workers: Workers::Fixed(NonZeroUsize::new(2).unwrap()),
        sink_retries: 5,
        ..Config::default()
    };
    assert_eq!(config, Ok(expected));
    assert_eq!(Config::from_env(|_| None), Ok(Config::default()));
    assert_eq!(Config::from_env(|_| Some(" ".to_owned())), Ok(Config::default()));
}

#[test]
fn r22_each_variable_that_is_read_is_documented() {
    let source = include_str!("../config.rs");
    let names = std::cell::RefCell::new(Vec::new());
    Config::from_env(|name| {
        names.borrow_mut().push(format!("/// | `{name}` |"));
        None
    })
    .unwrap();
    assert_eq!(names.borrow().len(), 7);
    assert!(names.borrow().iter().all(|row| source.contains(row)));
    assert_eq!(source.matches("/// | `CLEANUP_").count(), 7);
}

#[test]
fn r22_variables_report_all_problems_at_once() {
    let error = Config::from_env(|name| match name {
        "CLEANUP_ASYNC_ENABLED" => Some("maybe".to_owned()),
        "CLEANUP_BATCH_SIZE" => Some("0".to_owned()),
        "CLEANUP_WORKER_THREADS" => Some("0".to_owned()),
        "CLEANUP_MAX_RETRY_ATTEMPTS" => Some("-1".to_owned()),
        _ => None,
    });
    let problems = [
        Problem::Variable("CLEANUP_ASYNC_ENABLED"),
        Problem::Variable("CLEANUP_WORKER_THREADS"),
        Problem::Variable("CLEANUP_MAX_RETRY_ATTEMPTS"),
        Problem::BatchMaxZero,
    ];
    assert_eq!(error.unwrap_err().problems(), problems);
}

#[test]
fn r22_workers_are_parsed_in_any_case() {
    let fixed = |number| Ok::<_, ParseWorkersError>(Workers::Fixed(NonZeroUsize::new(number).unwrap()));
    assert_eq!("auto".parse(), Ok(Workers::Auto));
    assert_eq!(" AUTO ".parse(), Ok(Workers::Auto));
    assert_eq!("64".parse::<Workers>(), fixed(64));
    for text in ["0", "65", "-1", "", "two", "1.5", "18446744073709551616"] {
        assert!(text.parse::<Workers>().is_err(), "{text}");
    }
}

#[cfg(feature = "serde")]
mod serialization {
    use super::*;

    fn parse(json: &str) -> Result<Config, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn r22_survives_a_round_trip() {
        let rate = Rate { per_second: 5.try_into().unwrap(), burst: 9.try_into().unwrap() };
        let changed = Config { app_rate: Some(rate), overflow: Overflow::Reject, ..Config::default() };
        for config in [Config::default(), changed] {
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(parse(&json).unwrap(), config);
        }
        assert_eq!(parse("{}").unwrap(), Config::default());
    }

    #[test]
    fn r22_accepts_auto_numbers_and_numeric_text_and_rejects_zero() {
        let workers = |value: &str| parse(&format!("{{\"workers\": {value}}}")).map(|config| config.workers);
        let two = Workers::Fixed(NonZeroUsize::new(2).unwrap());
        assert_eq!(workers("\"Auto\"").unwrap(), Workers::Auto);
        assert_eq!((workers("2").unwrap(), workers("\"2\"").unwrap()), (two, two));
        for value in ["0", "\"0\"", "-1", "65", "1.5", "null", "\"many\"", "[]"] {
            assert!(workers(value).is_err(), "{value}");
        }
    }

    #[test]
    fn r22_accepts_the_names_of_the_server_that_it_replaces() {
        let json = r#"{"queue_buffer_size": 500, "batch_size": 10, "batch_timeout_ms": 100, "worker_threads": "auto",
            "max_retry_attempts": 3, "async_enabled": true, "fallback_to_sync": false}"#;
        let expected = Config {
            capacity: 500,
            batch_max: 10,
            linger: Duration::from_millis(100),
            sink_retries: 3,
            overflow: Overflow::Defer,
            ..Config::default()
        };
        assert_eq!(parse(json).unwrap(), expected);
    }
}
