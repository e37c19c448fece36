//! The results of a run in figures.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::options::Options;
use crate::run::Outcome;
use crate::truth::Breach;

/// The object that `--json` prints. Its field names are stable.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    nodes: u16,
    nets: u16,
    seconds: u32,
    seed: u64,
    /// Links established, counted at the side that dialled.
    links_established: u64,
    /// Dials that the managers asked for.
    dials: u64,
    /// Links established by a node to a peer that it had been linked to before.
    reconnects: u64,
    kills: u64,
    cuts: u64,
    /// Announcements refused on purpose.
    refused: u64,
    /// Connections accepted and left unanswered on purpose. In the text only.
    #[serde(skip)]
    hung: u64,
    /// Links that a node deleted. In the text only.
    #[serde(skip)]
    forgotten: u64,
    /// Effects that are notices and need no action. In the text only.
    #[serde(skip)]
    notices: u64,
    commands: u64,
    publishes: u64,
    ghosts: usize,
    disagreements: usize,
    stale_answers: u64,
    dropped_commands: u64,
    query_ns: QueryTimes,
    visible_us: VisibleTimes,
    versions_went_backwards: u64,
    /// Managers started from an export, and links restored that way.
    restarts: u64,
    restored_links: u64,
    /// Managers reconfigured while running, and nodes that reached the raised minimum.
    reconfigured: u64,
    minimum_reached: u64,
    /// At the end: linked permanent peers, static and chosen peers in their clusters, links with a name.
    permanent_links: u64,
    static_members: u64,
    embedded_members: u64,
    named_links: u64,
    /// Peers that hosts added to clusters and removed from them.
    host_joins: u64,
    host_leaves: u64,
    /// Explanations checked; of these, explanations of established members and of links in a delay.
    explanations: u64,
    explained_kept: u64,
    explained_delays: u64,
    /// Rests given to flapping links.
    rests: usize,
    /// Traffic according to the counters of all links.
    bytes_sent: u64,
    bytes_received: u64,
}

/// Times of all queries, each measured separately; about 25 ns of each is the cost of the clock.
#[derive(Debug, Serialize)]
struct QueryTimes {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// Time from submitting a command, through the completion of its ticket, to a snapshot that contains the
/// change. Covers every command whose outcome a task waited for, and includes the time until the runtime
/// polled that task.
#[derive(Debug, Serialize)]
struct VisibleTimes {
    p50: u64,
    p99: u64,
    max: u64,
}

impl Report {
    pub(crate) fn new(options: &Options, outcome: &Outcome) -> Self {
        let (links_established, reconnects) = outcome.totals.established();
        let breaches =
            |wanted: fn(&Breach) -> bool| outcome.breaches.iter().filter(|breach| wanted(breach)).count();
        Self {
            nodes: options.nodes,
            nets: options.nets,
            seconds: options.seconds,
            seed: options.seed(),
            links_established,
            dials: outcome.sums.dials,
            reconnects,
            kills: outcome.kills,
            cuts: outcome.cuts,
            refused: outcome.totals.refused.get(),
            hung: outcome.totals.hung.get(),
            forgotten: outcome.forgotten,
            notices: outcome.totals.notices.get(),
            commands: outcome.sums.commands,
            publishes: outcome.sums.publishes,
            ghosts: breaches(|breach| matches!(breach, Breach::Ghost(_))),
            disagreements: breaches(|breach| matches!(breach, Breach::Disagreement(_))),
            stale_answers: outcome.sums.stale_answers,
            dropped_commands: outcome.totals.dropped_commands.get(),
            query_ns: QueryTimes::new(&outcome.answers.query_ns),
            visible_us: VisibleTimes::new(&outcome.visible_us),
            versions_went_backwards: outcome.answers.versions_went_backwards,
            restarts: outcome.totals.restarts.get(),
            restored_links: outcome.totals.restored_links.get(),
            reconfigured: outcome.totals.reconfigured.get(),
            minimum_reached: outcome.kept.minimum_reached,
            permanent_links: outcome.kept.permanent_links,
            static_members: outcome.kept.static_members,
            embedded_members: outcome.kept.embedded_members,
            named_links: outcome.kept.named_links,
            host_joins: outcome.totals.host_joins.get(),
            host_leaves: outcome.totals.host_leaves.get(),
            explanations: outcome.answers.audit.samples,
            explained_kept: outcome.answers.audit.kept,
            explained_delays: outcome.answers.audit.delays,
            rests: outcome.answers.audit.rests.len(),
            bytes_sent: outcome.sums.bytes_sent,
            bytes_received: outcome.sums.bytes_received,
        }
    }
}

impl QueryTimes {
    fn new(times: &Histogram<u64>) -> Self {
        let at = |quantile| times.value_at_quantile(quantile);
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: times.max() }
    }
}

impl VisibleTimes {
    fn new(times: &Histogram<u64>) -> Self {
        let at = |quantile| times.value_at_quantile(quantile);
        Self { p50: at(0.5), p99: at(0.99), max: times.max() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, nets, seconds, seed, .. } = self;
        writeln!(f, "{nodes} nodes, {nets} nets, {seconds} s, seed {seed}")?;
        let Self { links_established, reconnects, dials, .. } = self;
        writeln!(
            f,
            "links      {links_established} established by {dials} dials, {reconnects} of them reconnects"
        )?;
        let Self { kills, cuts, refused, hung, forgotten, .. } = self;
        writeln!(
            f,
            "chaos      {kills} kills, {cuts} cuts, {forgotten} links deleted, \
             {refused} announcements refused, {hung} dials left hanging"
        )?;
        let Self { commands, publishes, stale_answers, dropped_commands, notices, .. } = self;
        writeln!(
            f,
            "managers   {commands} commands in {publishes} versions, {notices} notices, \
             {stale_answers} stale answers, {dropped_commands} commands dropped"
        )?;
        let QueryTimes { p50, p99, p999, max } = &self.query_ns;
        writeln!(f, "queries    {p50} ns at the median, {p99} ns p99, {p999} ns p99.9, {max} ns at most")?;
        let VisibleTimes { p50, p99, max } = &self.visible_us;
        writeln!(
            f,
            "visible    {p50} us at the median, {p99} us p99, {max} us at most, from submit to snapshot"
        )?;
        self.fmt_features(f)?;
        let Self { ghosts, disagreements, versions_went_backwards, .. } = self;
        write!(
            f,
            "truth      {ghosts} ghosts, {disagreements} disagreements, \
             {versions_went_backwards} versions went backwards"
        )
    }
}

impl Report {
    fn fmt_features(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { restarts, restored_links, reconfigured, minimum_reached, rests, .. } = self;
        writeln!(
            f,
            "restarts   {restarts} from exports, {restored_links} links restored; \
             {reconfigured} managers reconfigured, {minimum_reached} reached the new minimum"
        )?;
        let Self { permanent_links, static_members, embedded_members, host_joins, host_leaves, .. } = self;
        writeln!(
            f,
            "kept       {permanent_links} permanent peers, {static_members} static peers, \
             {embedded_members} members chosen by hosts ({host_joins} joined, {host_leaves} left)"
        )?;
        let Self { explanations, explained_kept, explained_delays, .. } = self;
        writeln!(
            f,
            "explained  {explanations} samples, among them {explained_kept} established members and \
             {explained_delays} delays; {rests} rests of flapping links"
        )?;
        let Self { named_links, bytes_sent, bytes_received, .. } = self;
        writeln!(
            f,
            "traffic    {bytes_sent} bytes sent, {bytes_received} received; {named_links} links named"
        )
    }
}

/// All failed checks, one line each. Empty if the run has passed.
pub(crate) fn complaints(outcome: &Outcome) -> Vec<String> {
    let mut complaints: Vec<String> = outcome.breaches.iter().map(ToString::to_string).collect();
    if outcome.stable_after.is_none() && complaints.is_empty() {
        complaints.push(String::from("the mesh was in order at the last check only, not at two in a row"));
    }
    complaints.extend(outcome.failures.iter().cloned());
    complaints.extend(outcome.answers.findings.iter().cloned());
    let (sent, received) = (outcome.sums.bytes_sent, outcome.sums.bytes_received);
    if received > sent {
        complaints.push(format!("{received} bytes were received, but only {sent} sent"));
    }
    let totals = &outcome.totals;
    for (count, what) in [
        (outcome.answers.versions_went_backwards, "versions went backwards"),
        (outcome.answers.contradictions, "snapshots contradicted themselves"),
        (totals.dropped_commands.get(), "commands were dropped"),
        (totals.unseen.get(), "tickets completed before their change was visible"),
        (totals.malformed.get(), "streams carried malformed frames"),
    ] {
        if count > 0 {
            complaints.push(format!("{count} {what}"));
        }
    }
    complaints
}
