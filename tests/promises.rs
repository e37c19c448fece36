//! The promises in the documentation: each promise names its tests, and each named test exists.
//!
//! Reads the README, which is the crate page, and the pages of `docs` that promise something. A path such as `tests/steps.rs`
//! is a file; `tests/steps.rs::name` is a test in it; `table::cell::tests::name` is a test of the library, and
//! `table::cell::models` a module of them. Some promises that no other test is about are tested here.
#![allow(clippy::unwrap_used)] // A panic is how these fail.

use std::cell::Cell;
use std::fs;
use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchboard::ticket::Pool;
use switchboard::{Table, Writer};

/// Pages with promises, and how many references each has at least.
const PAGES: [(&str, usize); 4] = [
    ("README.md", 20),
    ("src/docs/guarantees.rs", 60),
    ("src/docs/orderings.rs", 5),
    ("src/docs/limitations.rs", 5),
];

/// The marks of a promise; each promise has at least one.
const MARKS: [&str; 2] = ["*Tested by*", "*Follows from*"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the text of a page: a Markdown file, or the documentation at the head of a source file.
fn text(page: &str) -> String {
    let source = fs::read_to_string(root().join(page)).unwrap();
    if page.ends_with(".md") {
        return source;
    }
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Returns the texts between backticks, except in code blocks.
fn quoted(text: &str) -> Vec<String> {
    let blocks = text.split("```").step_by(2);
    blocks.flat_map(|block| block.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// A reference to a test.
#[derive(Debug)]
enum Reference {
    /// A file in `tests/`, and a test in it if one is named.
    File(String, Option<String>),
    /// A test module of the library, and a test in it if one is named.
    Module(Vec<String>, Option<String>),
}

fn reference(quoted: &str) -> Option<Reference> {
    if let Some(rest) = quoted.strip_prefix("tests/").filter(|rest| !rest.is_empty()) {
        let (file, test) = match rest.split_once("::") {
            Some((file, test)) => (file, Some(test.to_owned())),
            None => (rest, None),
        };
        return Some(Reference::File(format!("tests/{file}"), test));
    }
    let parts: Vec<_> = quoted.split("::").map(str::to_owned).collect();
    let place = parts.iter().rposition(|part| ["tests", "models", "reuse"].contains(&part.as_str()))?;
    if parts.len() < 2 || !parts.iter().all(|part| is_name(part)) {
        return None;
    }
    // After the module come files of its own, and a last name with several underscores is a test.
    let is_test = parts.len() > place + 1 && parts.last().unwrap().matches('_').count() > 1;
    let modules = if is_test { parts.len() - 1 } else { parts.len() };
    Some(Reference::Module(parts[..modules].to_vec(), is_test.then(|| parts[parts.len() - 1].clone())))
}

/// Whether `source` has a test called `name`.
fn has_test(source: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    source
        .split("#[test]")
        .skip(1)
        .any(|rest| rest.split("fn ").nth(1).is_some_and(|rest| format!("fn {rest}").starts_with(&head)))
}

/// Returns the source of a module of the library, which is in its own file or in that of the parent module.
fn source_of(modules: &[String]) -> Option<String> {
    let file = |modules: &[String]| {
        root().join("src").join(modules.iter().collect::<PathBuf>()).with_extension("rs")
    };
    if let Ok(source) = fs::read_to_string(file(modules)) {
        return Some(source);
    }
    let (last, around) = modules.split_last()?;
    let source = fs::read_to_string(file(around)).ok()?;
    source.contains(&format!("mod {last} {{")).then_some(source)
}

fn check(reference: &Reference) -> Result<(), String> {
    let (source, test) = match reference {
        Reference::File(file, test) => (fs::read_to_string(root().join(file)).ok(), test),
        Reference::Module(modules, test) => (source_of(modules), test),
    };
    let Some(source) = source else { return Err(format!("{reference:?}: no such file or module")) };
    match test {
        Some(name) if !has_test(&source, name) => Err(format!("{reference:?}: no such test")),
        None if !source.contains("#[test]") && !source.contains("mod ") => {
            Err(format!("{reference:?}: it has no tests"))
        }
        _ => Ok(()),
    }
}

#[test]
fn every_test_that_a_page_names_exists() {
    for (page, at_least) in PAGES {
        let references: Vec<_> = quoted(&text(page)).iter().filter_map(|quoted| reference(quoted)).collect();
        assert!(references.len() >= at_least, "{page} has only {} references", references.len());
        let missing: Vec<_> = references.iter().filter_map(|reference| check(reference).err()).collect();
        assert_eq!(missing, [""; 0], "{page}");
    }
}

/// Returns the items of the list under a heading.
fn items(text: &str, heading: &str, bullet: &str) -> Vec<String> {
    let section = text.split(heading).nth(1).unwrap();
    let section = section.split("\n#").next().unwrap();
    section
        .split(&format!("\n{bullet} "))
        .skip(1)
        .map(|item| item.split("\n\n").next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_promise_names_what_carries_it() {
    let is_carried = |item: &str| quoted(item).iter().any(|quoted| reference(quoted).is_some());
    let items = items(&text("README.md"), "\n## Guarantees\n", "-");
    assert!(items.len() > 8, "the README has only {} promises", items.len());
    let bare: Vec<_> = items.iter().filter(|item| !is_carried(item)).collect();
    assert!(bare.is_empty(), "{bare:#?}");
    let guarantees = text("src/docs/guarantees.rs");
    let is_marked = |text: &str| MARKS.iter().any(|mark| text.contains(mark));
    let paragraphs: Vec<_> = guarantees.split("\n\n").filter(|text| text.starts_with("**")).collect();
    assert!(paragraphs.len() > 20, "only {} promises", paragraphs.len());
    let bare: Vec<_> = paragraphs.iter().filter(|text| !is_marked(text)).collect();
    assert!(bare.is_empty(), "{bare:#?}");
    let sections: Vec<_> = guarantees.split("\n# ").skip(1).filter(|text| !is_marked(text)).collect();
    assert!(sections.is_empty(), "{sections:#?}");
}

/// The links of the README, which lead to docs.rs there and are replaced by checked ones on the crate page.
#[test]
fn the_crate_page_is_the_readme_with_links_that_are_checked() {
    let names = |page: &str, start: &str| -> Vec<String> {
        let page = fs::read_to_string(root().join(page)).unwrap();
        let links = page.lines().filter_map(|line| line.strip_prefix(start)?.split_once("]: "));
        links.map(|(name, _)| name.to_owned()).collect()
    };
    let (readme, page) = (names("README.md", "["), names("src/lib.rs", "//! ["));
    assert!(readme.len() > 10, "{readme:?}");
    assert_eq!(readme, page);
    assert!(
        fs::read_to_string(root().join("src/lib.rs")).unwrap().contains("include_str!(\"../README.md\")")
    );
}

/// Checks the methods that `docs::orderings` names as the two sides of an edge.
#[test]
fn every_method_that_the_orderings_name_exists() {
    let mut sources = String::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                sources += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let is_defined = |of: &str, method: &str| {
        let is_of = |line: &str| {
            line.starts_with("impl")
                && line.split(" for ").last().unwrap().split(['<', ' ', '>']).any(|word| word == of)
        };
        let head = format!("fn {method}");
        let blocks = sources
            .split("\nimpl")
            .skip(1)
            .map(|block| format!("impl{}", block.split("\n}").next().unwrap()));
        blocks.filter(|block| is_of(block.lines().next().unwrap())).any(|block| block.contains(&head))
    };
    let quoted = quoted(&text("src/docs/orderings.rs"));
    let methods = quoted.iter().filter_map(|quoted| quoted.split_once("::"));
    let ours = methods.filter(|(of, method)| of.starts_with(char::is_uppercase) && is_name(method));
    // These are from the standard library and from `crossbeam_queue`.
    let ours: Vec<_> = ours.filter(|(of, _)| !["Arc", "Ring"].contains(of)).collect();
    assert!(ours.len() > 40, "only {} methods", ours.len());
    let missing: Vec<_> = ours.into_iter().filter(|(of, method)| !is_defined(of, method)).collect();
    assert_eq!(missing, [("", ""); 0]);
}

#[test]
fn the_manifest_forbids_unsafe_code() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.split("[lints.rust]").nth(1).unwrap().contains("\nunsafe_code = \"forbid\"\n"));
}

/// Batches of up to 1,024 operations on existing entries, with a reader that keeps up.
#[test]
fn a_warm_table_stages_and_publishes_without_copying_or_allocating() {
    const LEN: u64 = 2_000;
    for batch in [1, 64, 1_024] {
        let (mut writer, table) = Table::<u64, u64>::builder().build_with((0..LEN).map(|key| (key, 0)));
        let mut reader = table.reader();
        let mut publish = |round: u64| {
            for key in 0..batch {
                writer.insert((round * batch + key) % LEN, round);
            }
            let version = writer.publish();
            assert_eq!(reader.version(), version);
        };
        // The two copies share their pages at first: each page is copied once.
        let warm = 200 + 2 * LEN / batch;
        (0..warm).for_each(&mut publish);
        let measured = allocation_counter::measure(|| (warm..warm + 200).for_each(&mut publish));
        assert_eq!(measured.count_total, 0, "batches of {batch}");
    }
}

/// While no older version is held, a value outlives its removal by at most two publishes.
#[test]
fn a_removed_value_is_dropped_within_two_publishes() {
    for recycles in [true, false] {
        let (mut writer, table) = Table::<u64, Arc<()>>::builder().recycle(recycles).build();
        let value = Arc::new(());
        for round in 0..200_u64 {
            // In some rounds readers stay behind, which leaves the maximum number of copies.
            let mut held = Vec::new();
            writer.insert(round, value.clone());
            for _ in 0..4 {
                writer.publish();
                held.extend((round % 50 == 0).then(|| table.snapshot()));
                writer.insert(1_000, Arc::default());
            }
            writer.publish();
            drop(held);
            drop(writer.remove(&round));
            writer.publish();
            for _ in 0..2 {
                writer.insert(1_000, Arc::default());
                writer.publish();
            }
            assert_eq!(Arc::strong_count(&value), 1, "recycles: {recycles}, round {round}");
        }
    }
}

#[test]
fn a_writer_that_is_dropped_leaves_removed_values_to_the_last_handle() {
    for reclaims in [true, false] {
        let (mut writer, table) = Table::<u64, Arc<()>>::new();
        let value = Arc::new(());
        writer.insert(1, value.clone());
        writer.publish();
        drop(writer.remove(&1));
        writer.publish();
        if reclaims {
            writer.reclaim();
        }
        drop(writer);
        assert_eq!(Arc::strong_count(&value) == 1, reclaims, "held unless reclaimed");
        drop(table);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}

#[test]
fn a_pool_keeps_no_more_slots_than_its_capacity() {
    let pool: Pool<u32> = Pool::new(NonZeroUsize::new(4).unwrap());
    for in_flight in [1, 4, 5, 40, 1] {
        let ends: Vec<_> = (0..in_flight).map(|_| pool.ticket()).collect();
        assert!(pool.stats().kept <= 4, "{:?}", pool.stats());
        drop(ends);
    }
    assert_eq!(pool.stats().kept, 4);
}

thread_local! {
    static COMPARED: Cell<usize> = const { Cell::new(0) };
}

/// A key that counts comparisons: each operation on an existing entry makes one or two.
#[derive(Clone)]
struct Key(u64);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        COMPARED.set(COMPARED.get() + 1);
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

fn compared(work: impl FnOnce()) -> usize {
    let before = COMPARED.get();
    work();
    COMPARED.get() - before
}

fn update(writer: &mut Writer<Key, u64>, keys: impl Iterator<Item = u64>) {
    keys.for_each(|key| _ = writer.insert(Key(key), key + 1));
}

/// The first operation after a batch of up to an eighth of the entries repeats it; a longer batch is not
/// repeated. `publish` itself visits no entry.
#[test]
fn the_first_operation_after_a_batch_repeats_up_to_an_eighth_of_the_entries() {
    const LEN: u64 = 40_000;
    for (batch, is_repeated) in [(LEN / 8, true), (LEN / 8 + 1, false)] {
        let (mut writer, _table) = Table::builder().build_with((0..LEN).map(|key| (Key(key), 0)));
        for round in 0..3 {
            // Two copies alternate.
            update(&mut writer, round..round + 1);
            writer.publish();
        }
        update(&mut writer, 0..batch);
        assert_eq!(compared(|| _ = writer.publish()), 0);
        let first = compared(|| update(&mut writer, 0..1));
        let expected = if is_repeated { batch as usize..=3 * batch as usize } else { 0..=10 };
        assert!(expected.contains(&first), "{first} comparisons after a batch of {batch}");
        assert!(compared(|| update(&mut writer, 1..2)) <= 10, "only the first operation repeats the batch");
    }
}
