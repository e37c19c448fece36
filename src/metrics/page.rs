//! The figures as text for Prometheus.

use std::fmt;
use std::time::Duration;

#[cfg(feature = "cleanup")]
use super::cleanup_figures;
use super::figures::{Answer, BOUNDS_NS, DURATIONS, FAMILIES, Shape};
#[cfg(feature = "sessions")]
use super::{saver_figures, session_figures};
#[cfg(feature = "cleanup")]
use crate::cleanup::{Cleanup, Entry, Resources};
use crate::link::addr::Addr;
use crate::metrics::handle::Metrics;
#[cfg(feature = "sessions")]
use crate::sessions::{Stats, saving};

/// A page with the figures of one or more managers, of registries of sessions and of cleanup
/// pipelines, in the Prometheus text format (version 0.0.4), without any dependency.
///
/// All figures of one manager are taken from one snapshot when it is added: every gauge of links and nets
/// belongs to the version in `switchboard_version`. [`docs::metrics`](crate::docs::metrics) lists the names.
///
/// # Examples
/// ```
/// use switchboard::{Config, LinkManager, Metrics, NodeAddr};
/// use switchboard::metrics::Page;
///
/// let driver = LinkManager::<NodeAddr>::builder(Config::default()).build()?;
/// let page = Page::new().add("north", &Metrics::for_driver(&driver)).to_string();
/// assert!(page.contains("# TYPE switchboard_links gauge\nswitchboard_links{node=\"north\"} 0\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a page is written by its `Display`"]
pub struct Page {
    nodes: Vec<(String, Answer)>,
    #[cfg(feature = "sessions")]
    registries: Vec<(String, Stats)>,
    #[cfg(feature = "sessions")]
    savers: Vec<(String, saving::Stats)>,
    #[cfg(feature = "cleanup")]
    pipelines: Vec<(String, cleanup_figures::Pipeline)>,
}

impl Page {
    /// The content type to serve the page with.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// Creates a page without managers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the current figures of a manager, labelled `node="name"`. O(nets).
    pub fn add<A: Addr>(mut self, name: impl Into<String>, metrics: &Metrics<A>) -> Self {
        self.nodes.push((name.into(), metrics.answer()));
        self
    }

    /// Adds the figures of a registry of sessions, labelled `registry="name"`.
    ///
    /// # Examples
    /// ```
    /// use switchboard::metrics::Page;
    /// use switchboard::sessions::Sessions;
    ///
    /// let sessions: Sessions<u32, String> = Sessions::new();
    /// let page = Page::new().add_sessions("chat", sessions.stats()).to_string();
    /// assert!(page.contains("# TYPE switchboard_sessions gauge\nswitchboard_sessions{registry=\"chat\"} 0\n"));
    /// ```
    #[cfg(feature = "sessions")]
    pub fn add_sessions(mut self, name: impl Into<String>, stats: Stats) -> Self {
        self.registries.push((name.into(), stats));
        self
    }

    /// Adds the figures of the saver of a registry of sessions, labelled `registry="name"`.
    ///
    /// # Examples
    /// ```
    /// use switchboard::metrics::Page;
    /// use switchboard::sessions::Sessions;
    /// use switchboard::sessions::store::MemoryStore;
    ///
    /// let sessions: Sessions<u32, String> = Sessions::builder().store(MemoryStore::new()).build();
    /// let mut page = Page::new().add_sessions("chat", sessions.stats());
    /// if let Some(saver) = sessions.saver() {
    ///     page = page.add_saver("chat", saver.stats());
    /// }
    /// let text = page.to_string();
    /// assert!(text.contains("# TYPE switchboard_saver_dirty gauge\nswitchboard_saver_dirty{registry=\"chat\"} 0\n"));
    /// ```
    #[cfg(feature = "sessions")]
    pub fn add_saver(mut self, name: impl Into<String>, stats: saving::Stats) -> Self {
        self.savers.push((name.into(), stats));
        self
    }

    /// Adds the current figures of a cleanup pipeline, labelled `pipeline="name"`.
    #[cfg(feature = "cleanup")]
    pub fn add_cleanup<V: Entry, R: Resources>(
        mut self,
        name: impl Into<String>,
        cleanup: &Cleanup<V, R>,
    ) -> Self {
        let (stats, workers) = (cleanup.stats(), cleanup.worker_stats());
        let pipeline = cleanup_figures::Pipeline { stats, workers, pressure: cleanup.pressure() };
        self.pipelines.push((name.into(), pipeline));
        self
    }
}

impl Page {
    /// Whether there is something else than managers.
    fn has_others(&self) -> bool {
        let mut has_others = false;
        #[cfg(feature = "sessions")]
        {
            has_others |= !(self.registries.is_empty() && self.savers.is_empty());
        }
        #[cfg(feature = "cleanup")]
        {
            has_others |= !self.pipelines.is_empty();
        }
        has_others
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A page of other things only shows no figures of managers.
        let is_used = !self.nodes.is_empty() || !self.has_others();
        for family in FAMILIES.iter().filter(|_| is_used) {
            let (suffix, shape) = match family.shape {
                Shape::Counter => ("_total", "counter"),
                Shape::Gauge => ("", "gauge"),
            };
            let name = family.name;
            writeln!(f, "# HELP {name}{suffix} {}\n# TYPE {name}{suffix} {shape}", family.help)?;
            for (node, answer) in &self.nodes {
                let mut written = Ok(());
                (family.samples)(answer, &mut |labels, value| {
                    written = written.and_then(|()| {
                        write!(f, "{name}{suffix}")?;
                        write_labels(f, node, labels)?;
                        writeln!(f, " {value}")
                    });
                });
                written?;
            }
        }
        for durations in DURATIONS.iter().filter(|_| is_used) {
            let name = durations.name;
            writeln!(f, "# HELP {name} {}\n# TYPE {name} histogram", durations.help)?;
            for (node, answer) in &self.nodes {
                let histogram = (durations.of)(answer);
                for bound in BOUNDS_NS.map(Duration::from_nanos) {
                    let le = bound.as_secs_f64().to_string();
                    write!(f, "{name}_bucket")?;
                    write_labels(f, node, &[("le", &le)])?;
                    writeln!(f, " {}", histogram.count_up_to(bound))?;
                }
                write!(f, "{name}_bucket")?;
                write_labels(f, node, &[("le", "+Inf")])?;
                writeln!(f, " {}", histogram.count())?;
                write!(f, "{name}_sum")?;
                write_labels(f, node, &[])?;
                writeln!(f, " {}", histogram.sum().as_secs_f64())?;
                write!(f, "{name}_count")?;
                write_labels(f, node, &[])?;
                writeln!(f, " {}", histogram.count())?;
            }
        }
        #[cfg(feature = "sessions")]
        {
            let write_label = |f: &mut fmt::Formatter<'_>, name: &str| write_owner(f, "registry", name, &[]);
            session_figures::write(f, &self.registries, write_label)?;
            saver_figures::write(f, &self.savers, write_label)?;
        }
        #[cfg(feature = "cleanup")]
        cleanup_figures::write(f, &self.pipelines, |f, name, labels| {
            write_owner(f, "pipeline", name, labels)
        })?;
        Ok(())
    }
}

fn write_labels(f: &mut fmt::Formatter<'_>, node: &str, labels: &[(&'static str, &str)]) -> fmt::Result {
    write_owner(f, "node", node, labels)
}

fn write_owner(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    name: &str,
    labels: &[(&'static str, &str)],
) -> fmt::Result {
    write!(f, "{{{kind}=\"")?;
    for character in name.chars() {
        match character {
            '\\' => f.write_str("\\\\")?,
            '"' => f.write_str("\\\"")?,
            '\n' => f.write_str("\\n")?,
            other => fmt::Write::write_char(f, other)?,
        }
    }
    f.write_str("\"")?;
    // The crate's own labels need no escaping.
    labels.iter().try_for_each(|(name, value)| write!(f, ",{name}=\"{value}\""))?;
    f.write_str("}")
}
