//! The fault plan.

use super::Resolver;
use crate::fault::{
    ClientFault, Corruption, Cut, DataFault, Direction, Fault, Filter, LinkFault, Outage,
    ReportFault, ServerFault, What, When,
};
use crate::federation::Message;
use crate::quantity::{bounds, Bytes, Distribution, Probability, Span};
use crate::scenario::file::{CutFile, FaultFile, KindFile, WhenFile};
use crate::scenario::Member;
use crate::sim::Message as _;

/// Bits flipped in one message: each takes a draw.
const MOST_FLIPS: u32 = 1_000_000;

/// What begins and ends more often than a thousand times a second, in seconds, is no fault of anything:
/// it would have to be followed through all of virtual time.
const SHORTEST: f64 = 1e-3;

/// A link that heals late is looked for in all periods from which it might still be out.
const MOST_OVERLAPPING: f64 = 1e4;

/// Work that takes longer than this many times as long never ends in a run.
const SLOWEST: f64 = 1e6;

impl Resolver<'_> {
    pub(super) fn faults(&mut self, typed: Vec<FaultFile>, population: &[Member]) -> Vec<Fault> {
        let each = typed.into_iter().enumerate();
        each.map(|(index, fault)| self.fault(fault, population, &format!("faults[{index}]")))
            .collect()
    }

    fn fault(&mut self, typed: FaultFile, population: &[Member], path: &str) -> Fault {
        let about_server = matches!(
            typed.fault,
            KindFile::ServerSlow(_)
                | KindFile::ServerClock(_)
                | KindFile::ServerCrash
                | KindFile::TornCheckpoint
        );
        let partition = matches!(typed.fault, KindFile::Partition { .. });
        let at = format!("{path}.fault");
        // Which kind of fault it is matters below, not its figures.
        let kind = format!("{at}?");
        let what = self.what(typed.fault, &at);
        let when = self.reading(&[&kind], |r| {
            r.when(typed.when, &what, &format!("{path}.when"))
        });
        let is_link = matches!(what, What::Link(_));
        let filters = [
            ("direction", typed.direction.is_some()),
            ("kinds", typed.kinds.is_some()),
            ("at_least", typed.at_least.is_some()),
            ("at_most", typed.at_most.is_some()),
        ];
        for (field, given) in filters {
            if given && !is_link {
                let message = "only a fault of a link tells messages apart: expected none here";
                self.complain_reading(&[&kind], &format!("{path}.{field}"), message);
            }
        }
        if let Some(p) = typed.p {
            if !takes_probability(&what) && p.0 < Probability::ONE {
                let message = "this fault is there or not: expected none here, but a share of the \
                               clients in who, or times in when";
                self.complain_reading(&[&kind], &format!("{path}.p"), message);
            }
        }
        let filter = Filter {
            direction: typed.direction.map_or(Direction::Both, Direction::from),
            kinds: typed.kinds.map(|kinds| self.kinds(kinds, path)),
            at_least: typed.at_least.map_or(Bytes(0), |size| size.0),
            at_most: typed.at_most.map(|size| size.0),
        };
        if filter.at_most.is_some_and(|most| most < filter.at_least) {
            let message = "no message is smaller than at_most and larger than at_least";
            let least = format!("{path}.at_least");
            self.complain_reading(&[&least], &format!("{path}.at_most"), message);
        }
        Fault {
            who: self.who(typed.who, population, &format!("{path}.who")),
            together: typed.together.unwrap_or(partition || about_server),
            probability: typed.p.map_or(Probability::ONE, |p| p.0),
            what,
            when,
            filter,
        }
    }

    fn kinds(&mut self, names: Vec<String>, path: &str) -> Vec<u8> {
        let mut kinds = Vec::new();
        // Notices are on no link.
        let on_links = |kind: &&str| *kind != "notice";
        let known = Message::KINDS.iter().copied().filter(on_links);
        for (index, name) in names.iter().enumerate() {
            let place = Message::KINDS.iter().position(|kind| kind == name);
            match place.filter(|_| on_links(&name.as_str())) {
                Some(place) => kinds.push(place as u8),
                None => {
                    let path = format!("{path}.kinds[{index}]");
                    self.unknown(&path, "a kind of message", name, known.clone());
                }
            }
        }
        kinds
    }

    fn when(&mut self, typed: WhenFile, what: &What, path: &str) -> When {
        let when = match typed {
            WhenFile::Always => When::Always,
            WhenFile::Once { at, lasts } => {
                if lasts.is_some_and(|lasts| lasts.0 == Span::ZERO) {
                    let message = "expected a duration above 0 s, found 0 s";
                    self.complain(&format!("{path}.lasts"), message);
                }
                When::Once {
                    at: at.0,
                    lasts: lasts.map(|lasts| lasts.0),
                }
            }
            WhenFile::Repeated {
                between,
                lasts,
                until,
            } => {
                let when = (between.into_distribution(), lasts.into_distribution());
                for (field, law) in [("between", &when.0), ("lasts", &when.1)] {
                    self.positive(law, &format!("{path}.{field}"));
                }
                self.not_too_often(&when.0, &when.1, what, path);
                When::Repeated {
                    between: when.0,
                    lasts: when.1,
                    until: until.map(|until| until.0),
                }
            }
            WhenFile::Rate {
                every,
                lasts,
                until,
            } => {
                let mean = every.0.seconds();
                let lasts = lasts.into_distribution();
                self.positive(&Distribution::Constant(mean), &format!("{path}.every"));
                self.positive(&lasts, &format!("{path}.lasts"));
                let between = Distribution::Exponential { min: 0.0, mean };
                self.not_too_often(&between, &lasts, what, path);
                When::Repeated {
                    between,
                    lasts,
                    until: until.map(|until| until.0),
                }
            }
            WhenFile::Rounds { from, until } => {
                if until.is_some_and(|until| until < from) {
                    let message = format!("expected a round from {from} on, where it begins");
                    self.complain(&format!("{path}.until"), message);
                }
                When::Rounds { from, until }
            }
            WhenFile::Messages { from, until } => {
                if from == 0 {
                    self.complain(&format!("{path}.from"), "messages count from 1, found 0");
                }
                if until.is_some_and(|until| until < from) {
                    let message = format!("expected a message from {from} on, where it begins");
                    self.complain(&format!("{path}.until"), message);
                }
                When::Messages { from, until }
            }
        };
        if !when.is_timed() && needs_times(what) {
            let message =
                "this fault begins and ends by the clock: expected Always, Once, Repeated \
                           or Rate";
            self.complain(path, message);
        }
        match what {
            What::Data(_) if when != When::Always => {
                self.complain(path, "samples are spoilt once and for all: expected Always");
            }
            What::Client(ClientFault::Degrade(_))
                if matches!(when, When::Always | When::Once { lasts: None, .. }) =>
            {
                self.complain(
                    path,
                    "it degrades until the fault ends: expected a time with an end",
                );
            }
            What::Link(LinkFault::Outage(outage))
                if outage.held && matches!(when, When::Always | When::Once { lasts: None, .. }) =>
            {
                self.complain(
                    path,
                    "messages wait until the fault ends: expected a time with an end",
                );
            }
            What::Server(ServerFault::Crash)
                if matches!(when, When::Always | When::Once { lasts: None, .. }) =>
            {
                self.complain(
                    path,
                    "without its server the federation ends: expected a time with an end",
                );
            }
            What::Client(ClientFault::Crash { .. }) if when == When::Always => {
                self.complain(
                    path,
                    "a client that is always down is no client: expected a time",
                );
            }
            _ => {}
        }
        when
    }

    /// Complains of a fault that comes and goes more often than can be followed. A law counts by what
    /// it usually gives: one that is almost always none and once in a million draws a year comes and
    /// goes as often as one that is always none.
    fn not_too_often(
        &mut self,
        between: &Distribution,
        lasts: &Distribution,
        what: &What,
        path: &str,
    ) {
        let (between, lasts) = (between.usual_length(), lasts.usual_length());
        if between <= 0.0 || lasts <= 0.0 {
            // Said where it stands.
            return;
        }
        let cycle = between + lasts;
        if cycle < SHORTEST {
            let found = Span::from_seconds(cycle);
            let message = format!(
                "expected 1 ms or more from one beginning to the next, as a rule, found {found}"
            );
            return self.complain(path, message);
        }
        if let What::Link(LinkFault::Outage(Outage { heal, .. })) = what {
            if heal.seconds() > cycle * MOST_OVERLAPPING {
                let message = format!(
                    "a link that takes up to {heal} to come back is cut off again after {}, over and over: \
                     expected a heal of at most {}",
                    Span::from_seconds(cycle),
                    Span::from_seconds(cycle * MOST_OVERLAPPING)
                );
                self.complain(path, message);
            }
        }
    }

    /// A span that time would never get past is a mistake.
    fn positive(&mut self, law: &Distribution, path: &str) {
        if law.mean() <= 0.0 {
            self.complain(path, "expected a duration above 0 s, found 0 s");
        }
    }

    fn what(&mut self, typed: KindFile, path: &str) -> What {
        let link = What::Link;
        let client = What::Client;
        let report = |fault| What::Client(ClientFault::Report(fault));
        let outage = |cut, held, heal| What::Link(LinkFault::Outage(Outage { cut, held, heal }));
        match typed {
            KindFile::Delay(by) => link(LinkFault::Delay(by.into_distribution())),
            KindFile::Offset(by) => link(LinkFault::Offset(by.into_distribution())),
            KindFile::Loss(p) => link(LinkFault::Loss(p.0)),
            KindFile::BurstLoss {
                p_good_to_bad,
                p_bad_to_good,
                loss_good,
                loss_bad,
            } => {
                if p_good_to_bad.0 == Probability::ZERO && p_bad_to_good.0 == Probability::ZERO {
                    let message =
                        "p_good_to_bad and p_bad_to_good are both 0: the link would stay in \
                                   the state it began in; use Loss";
                    self.complain(path, message);
                }
                link(LinkFault::BurstLoss {
                    p_good_to_bad: p_good_to_bad.0,
                    p_bad_to_good: p_bad_to_good.0,
                    loss_good: loss_good.0,
                    loss_bad: loss_bad.0,
                })
            }
            KindFile::Duplicate { after } => link(LinkFault::Duplicate {
                after: after.into_distribution(),
            }),
            KindFile::Reorder { hold } => link(LinkFault::Reorder {
                hold: hold.into_distribution(),
            }),
            KindFile::Corrupt { how, checksum } => {
                let how = how.into();
                if let Corruption::Flip(bits) = how {
                    if !(1..=MOST_FLIPS).contains(&bits) {
                        let message = format!("expected 1 to {MOST_FLIPS} bits, found {bits}");
                        self.complain(&format!("{path}.how"), message);
                    }
                }
                link(LinkFault::Corrupt { how, checksum })
            }
            KindFile::Bandwidth(share) => link(LinkFault::Bandwidth(share.0)),
            KindFile::Mtu(mtu) => {
                if mtu.0 == Bytes(0) {
                    self.complain(path, "a packet must carry at least one byte, found 0 B");
                }
                link(LinkFault::Mtu(mtu.0))
            }
            KindFile::Queue { capacity, drop } => link(LinkFault::Queue {
                capacity: capacity.0,
                drop: drop.into(),
            }),
            KindFile::Disconnect => outage(Cut::All, false, Span::ZERO),
            KindFile::Hold => outage(Cut::All, true, Span::ZERO),
            KindFile::Partition { cut, heal } => {
                let cut = match cut {
                    CutFile::All => Cut::All,
                    CutFile::Half => Cut::Half,
                    CutFile::One => Cut::One,
                    CutFile::Groups(groups) => {
                        if groups < 2 {
                            let message = format!("expected 2 groups or more, found {groups}");
                            self.complain(&format!("{path}.cut"), message);
                        }
                        Cut::Groups(groups)
                    }
                };
                outage(cut, false, heal.0)
            }
            KindFile::Crash { keep_state } => client(ClientFault::Crash { keep_state }),
            KindFile::Pause => client(ClientFault::Pause),
            KindFile::Slow(times) => client(ClientFault::Slow(self.times(times, path))),
            KindFile::Degrade(times) => client(ClientFault::Degrade(self.times(times, path))),
            KindFile::Throttle { after, slowdown } => client(ClientFault::Throttle {
                after: after.0,
                slowdown: self.times(slowdown, &format!("{path}.slowdown")),
            }),
            KindFile::OutOfMemory => client(ClientFault::OutOfMemory),
            KindFile::Clock { ahead, drift } => client(ClientFault::Clock {
                ahead: self.within(ahead, -1e9, 1e9, &format!("{path}.ahead")),
                drift: self.within(drift, -1.0, 1.0, &format!("{path}.drift")),
            }),
            KindFile::Panic => client(ClientFault::Panic),
            KindFile::PartialWork(share) => client(ClientFault::PartialWork(share.0)),
            KindFile::StaleModel => client(ClientFault::StaleModel),
            KindFile::NotANumber => report(ReportFault::NotANumber),
            KindFile::Infinite => report(ReportFault::Infinite),
            KindFile::WrongShape => report(ReportFault::WrongShape),
            KindFile::WrongRound(by) => {
                if by == 0 {
                    self.complain(
                        path,
                        "0 rounds off is no fault: expected a number below or above 0",
                    );
                }
                report(ReportFault::WrongRound(by))
            }
            KindFile::DuplicateReport(copies) => {
                if !(1..=100).contains(&copies) {
                    let message = format!("expected 1 to 100 copies, found {copies}");
                    self.complain(path, message);
                }
                report(ReportFault::Duplicate(copies))
            }
            KindFile::LateReport(by) => report(ReportFault::Late(by.into_distribution())),
            KindFile::ReplayReport => report(ReportFault::Replay),
            KindFile::LabelNoise(p) => What::Data(DataFault::LabelNoise(p.0)),
            KindFile::FeatureNoise(std) => {
                What::Data(DataFault::FeatureNoise(self.within(std, 0.0, 1e6, path)))
            }
            KindFile::ServerSlow(times) => What::Server(ServerFault::Slow(self.times(times, path))),
            KindFile::ServerClock(drift) => What::Server(ServerFault::ClockDrift(
                self.within(drift, -0.9, 10.0, path),
            )),
            KindFile::ServerCrash => What::Server(ServerFault::Crash),
            KindFile::TornCheckpoint => What::Server(ServerFault::Torn),
        }
    }

    /// How many times as long something takes.
    fn times(&mut self, times: f64, path: &str) -> f64 {
        self.within(times, 1.0, SLOWEST, path).max(1.0)
    }

    fn within(&mut self, found: f64, low: f64, high: f64, path: &str) -> f64 {
        if (low..=high).contains(&found) {
            return found;
        }
        self.complain(
            path,
            format!("{} is outside [{low}, {high}]", bounds::plain(found)),
        );
        low.max(0.0)
    }
}

/// Whether single messages or tasks can be hit or not.
const fn takes_probability(what: &What) -> bool {
    match what {
        What::Link(fault) => !matches!(
            fault,
            LinkFault::Offset(_)
                | LinkFault::Bandwidth(_)
                | LinkFault::Mtu(_)
                | LinkFault::Queue { .. }
        ),
        What::Client(fault) => matches!(
            fault,
            ClientFault::OutOfMemory
                | ClientFault::Panic
                | ClientFault::PartialWork(_)
                | ClientFault::StaleModel
                | ClientFault::Report(_)
        ),
        What::Server(fault) => matches!(fault, ServerFault::Torn),
        What::Data(_) => false,
    }
}

/// Whether the fault holds for stretches of time, whatever happens in them.
const fn needs_times(what: &What) -> bool {
    match what {
        What::Link(fault) => match fault {
            LinkFault::Bandwidth(_) => true,
            LinkFault::Outage(outage) => outage.held,
            _ => false,
        },
        What::Client(fault) => matches!(
            fault,
            ClientFault::Crash { .. }
                | ClientFault::Pause
                | ClientFault::Slow(_)
                | ClientFault::Degrade(_)
                | ClientFault::Throttle { .. }
                | ClientFault::Clock { .. }
        ),
        What::Server(fault) => !matches!(fault, ServerFault::Torn),
        What::Data(_) => false,
    }
}
