//! What is expected of a federation before it runs: how long a round takes a client, and what a round costs
//! the machine that runs Shoal.

use super::message::ENVELOPE;
use super::on_deadline::cut;
use super::sizing::cost_of;
use super::world::{Federation, Shared};
use crate::compress::Codec;
use crate::learn::{Cost, LocalTraining};
use crate::method::{Payload, Phase};
use crate::net::{LinkNetwork, Passage};
use crate::quantity::{Bytes, Flops, Span};
use crate::sim::rng::{stream, Purpose};
use crate::sim::NodeId;

/// How long a round is expected to take a client, and what it costs the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// How many samples the client trains on.
    pub samples: usize,
    /// The client's participation: the probability that it is present when a round begins, apart from its
    /// availability.
    pub participation: f64,
    /// How long the model takes to arrive, on idle links without losses.
    pub download: Span,
    /// How long the device takes to start up.
    pub startup: Span,
    /// How long the device computes.
    pub compute: Span,
    /// How long the report takes to arrive, on idle links without losses.
    pub upload: Span,
    /// How many local steps the client takes; fewer than `stops.steps` where it has to stop early.
    pub steps: u64,
    /// What the client would do without a deadline, where it stops early to report in time.
    pub stops: Option<Stops>,
    /// What the training costs.
    pub cost: Cost,
    /// Whether the training fits the memory of the device.
    pub fits: bool,
    /// How the model gets through the network, and how the report does.
    pub passages: [Passage; 2],
    /// By how many seconds the latencies of both messages together are above their medians, in some draws.
    pub spread: Vec<f64>,
}

/// The training of a client that stops early to report in time, as it would be without a deadline.
#[derive(Debug, Clone, PartialEq)]
pub struct Stops {
    /// The number of all steps.
    pub steps: u64,
    /// How long the device computes for them. Steps are taken to be equally long.
    pub compute: Span,
    /// The time that the client leaves for its report: `upload` and the reserve.
    pub leaves: Span,
    /// By how many seconds the latency of the task is above its median, in some draws, and that of the
    /// report.
    pub spread: [Vec<f64>; 2],
}

impl Stops {
    /// The probability that a report arrives within this time: at least one step must fit, and the
    /// report must not be later than what the client leaves for it. A task that comes late costs steps.
    fn chance_within(&self, within: f64, one: &Outlook) -> f64 {
        let [down, up] = one.passages.each_ref().map(Passage::delays);
        let mut up: Vec<(f64, f64)> = up.iter().map(|(late, p)| (late.seconds(), *p)).collect();
        up.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut sum = 0.0;
        for (_, chance) in &mut up {
            sum += *chance;
            *chance = sum;
        }
        let step = self.compute.seconds() / self.steps.max(1) as f64;
        let begins = one.download.seconds() + one.startup.seconds();
        let [there, back] = &self.spread;
        let draws = there.len().max(back.len());
        let (mut chance, mut each) = (0.0, back.iter().cycle());
        for there in there.iter().cycle().take(draws) {
            let back = each.next().copied().unwrap_or_default();
            for (late, p) in &down {
                let left = within - begins - there - late.seconds();
                let steps = ((left - self.leaves.seconds()) / step).ceil() - 1.0;
                let steps = steps.min(self.steps as f64);
                if steps >= 1.0 {
                    let room = left - steps * step - one.upload.seconds() - back;
                    let in_time = up.partition_point(|(late, _)| *late <= room + 1e-9);
                    chance += p * in_time.checked_sub(1).map_or(0.0, |last| up[last].1);
                }
            }
        }
        (chance / draws.max(1) as f64).clamp(0.0, 1.0)
    }
}

/// The draws of latencies from which chances are worked out.
const DRAWS: u32 = 200;

/// What the server of a federation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerLoad {
    /// FLOPs before the first round.
    pub setup: Flops,
    /// FLOPs in each round.
    pub round: Flops,
    /// Whether rounds ask clients.
    pub asks: bool,
    /// Whether clients keep models of their own between rounds.
    pub personal: bool,
}

/// The messages of a round that a client gets and sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundMessages {
    /// The client's node.
    pub client: NodeId,
    /// The server that the client answers to; a neighbour where there is no server.
    pub server: NodeId,
    /// The size of the message with the model, for one set of parameters of the client's network.
    pub model: Bytes,
    /// The size of the message with the report, compressed where reports are.
    pub report: Bytes,
}

impl Outlook {
    /// How long the whole round takes the client.
    pub fn total(&self) -> Span {
        self.download + self.startup + self.compute + self.upload
    }

    /// The probability that the report arrives within this time after the client was asked, as latencies
    /// vary and lost packets are sent again.
    pub fn chance_within(&self, within: Span) -> f64 {
        if let Some(stops) = &self.stops {
            return stops.chance_within(within.seconds(), self);
        }
        let left = within.seconds() - self.total().seconds();
        let least = self.spread.iter().copied().fold(f64::INFINITY, f64::min);
        if least > left {
            return 0.0;
        }
        let [down, up] = self.passages.each_ref().map(Passage::delays);
        let pairs = down.iter().flat_map(|a| up.iter().map(move |b| (a, b)));
        let mut delays: Vec<(f64, f64)> = pairs
            .map(|((first, p), (second, q))| (first.seconds() + second.seconds(), p * q))
            .collect();
        delays.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut sum = 0.0;
        for (_, chance) in &mut delays {
            sum += *chance;
            *chance = sum;
        }
        let each = self.spread.iter().map(|late| {
            // A nanosecond, to which times are rounded, decides nothing.
            let before = delays.partition_point(|(delay, _)| *delay <= left - late + 1e-9);
            before.checked_sub(1).map_or(0.0, |last| delays[last].1)
        });
        let mean = each.sum::<f64>() / self.spread.len().max(1) as f64;
        mean.clamp(0.0, 1.0)
    }
}

impl Federation {
    /// How long a round is expected to take a client, and what it costs the client. A task and a report are
    /// taken to be one set of parameters of the client's network, the report compressed where reports are;
    /// where clients stop early to report, a report has the size that it really has.
    pub fn outlook(&self, client: u32) -> Outlook {
        let shared = self.share();
        let plan = &shared.plan;
        let me = plan.client(client);
        let (own, narrower) = (shared.sizes.of(client), shared.sizes.narrower(client));
        let local = &shared.local[me.group];
        let cost = cost_of(
            plan,
            shared.client_half.as_ref(),
            local,
            own,
            narrower,
            client,
        );
        let model = own.model.layout().wire_bytes();
        // A client that stops early goes by the size that its report really has.
        let report = match plan.schedule.on_deadline.is_drop() {
            true => shared.report_bytes(client, model),
            false => shared.stand_in_bytes(client),
        };
        let (node, other) = (Self::node_of(client), shared.counterpart(client));
        let samples = plan.partition.size(client as usize);
        let passages = [
            shared.network.passage(other, node, model),
            shared.network.passage(node, other, report),
        ];
        let network = &shared.network;
        let there = passages[0].later(&network.latency_spread(other, node, 0, DRAWS));
        let back = passages[1].later(&network.latency_spread(node, other, 1, DRAWS));
        let longest = there.len().max(back.len());
        let both = there.iter().cycle().zip(back.iter().cycle());
        let spread = both.take(longest).map(|(there, back)| there + back);
        let mut outlook = Outlook {
            spread: spread.collect(),
            samples,
            participation: me.participation.get(),
            download: shared.nominal(other, node, model),
            startup: me.device.startup,
            compute: me.device.speed.time_for(cost.flops),
            upload: shared.nominal(node, other, report),
            steps: local.steps(samples),
            stops: None,
            cost,
            fits: me.device.fits(cost.memory),
            passages,
        };
        let limit = plan.schedule.deadline;
        if let Some((limit, leaves)) = limit.zip(shared.leaves_for_report(client, other)) {
            outlook.stops = Some(Stops {
                steps: outlook.steps,
                compute: outlook.compute,
                leaves,
                spread: [there, back],
            });
            let before = outlook.download + outlook.startup + leaves;
            let left = limit.nanos().saturating_sub(before.nanos());
            let cost_of = |local: &LocalTraining| {
                let half = shared.client_half.as_ref();
                cost_of(plan, half, local, own, narrower, client)
            };
            let time_of = |cost: &Cost| me.device.speed.time_for(cost.flops);
            if outlook.compute.nanos() >= left {
                let fits = |part: &LocalTraining| time_of(&cost_of(part)).nanos() < left;
                if let Some(part) = cut(local, samples, fits) {
                    outlook.cost = cost_of(&part);
                    outlook.compute = time_of(&outlook.cost);
                    outlook.steps = part.steps(samples);
                }
            }
        }
        outlook
    }

    /// The messages that a client gets and sends in a round.
    pub fn round_messages(&self, client: u32) -> RoundMessages {
        let shared = self.share();
        let parameters = shared.sizes.of(client).model.layout().wire_bytes();
        let report = shared.report_bytes(client, parameters);
        let around = ENVELOPE + Payload::Nothing.wire_bytes().0;
        RoundMessages {
            client: Self::node_of(client),
            server: shared.counterpart(client),
            model: Bytes(parameters.0.saturating_add(around)),
            report: Bytes(report.0.saturating_add(around)),
        }
    }

    /// The links of all nodes.
    pub fn links(&self) -> LinkNetwork {
        self.share().network.clone()
    }

    /// What one evaluation costs the host: FLOPs, and the number of samples that go through a network.
    pub fn evaluation_cost(&self) -> (Flops, u64) {
        let shared = self.share();
        let plan = &shared.plan;
        let (mut flops, mut samples) = (0u64, 0u64);
        let mut add = |each: Flops, count: usize| {
            flops = flops.saturating_add(each.0.saturating_mul(count as u64));
            samples = samples.saturating_add(count as u64);
        };
        if plan.evaluation.central {
            let levels = shared.sizes.levels().iter();
            let measured = if plan.evaluation.by_size {
                usize::MAX
            } else {
                1
            };
            for level in levels.take(measured) {
                add(level.model.forward_flops(), plan.test.len());
            }
            add(plan.model.forward_flops(), plan.public.select.len());
        }
        if let Some(triggered) = &plan.triggered {
            add(plan.model.forward_flops(), triggered.len());
        }
        if plan.evaluation.per_client {
            add(plan.model.forward_flops(), plan.holdout.len());
        }
        for &level in shared.query.levels() {
            let each = shared.sizes.levels()[level].model.forward_flops();
            add(each, shared.query.samples() as usize);
        }
        (Flops(flops), samples)
    }

    /// How many messages a round has in a federation without a server; `None` where there is a server.
    pub fn peer_messages(&self) -> Option<u64> {
        let shared = self.share();
        let graph = shared.gossip.as_ref()?.graph(1).ok()?;
        Some(graph.messages())
    }

    /// What the server computes in a round with so many reports, and whether clients keep models.
    ///
    /// Where the method's own work has several steps, each of which needs the outcome of the one before, only
    /// the first step is counted.
    pub fn server_load(&self, reports: u32) -> ServerLoad {
        let shared = self.share();
        let gossip = shared.gossip.is_some();
        let Ok(mut half) = shared.fresh_half() else {
            return ServerLoad::default();
        };
        if gossip {
            return ServerLoad {
                personal: true,
                ..ServerLoad::default()
            };
        }
        let taking = half.receive_flops().0.saturating_mul(u64::from(reports));
        let taking = taking.saturating_add(half.round_flops().0);
        let mut work = |phase| {
            let jobs = half.step(phase, Vec::new()).unwrap_or_default();
            let flops = jobs.iter().map(|job| job.cost.flops.0);
            flops.fold(0u64, u64::saturating_add)
        };
        let setup = work(Phase::Setup);
        let round = work(Phase::BeforeRound(1)).saturating_add(work(Phase::AfterRound(1)));
        ServerLoad {
            setup: Flops(setup),
            round: Flops(round.saturating_add(taking)),
            asks: half.needs_clients(),
            personal: half.personal(),
        }
    }

    /// How many clients are adversaries at some time of the run.
    pub fn adversaries(&self) -> u32 {
        self.share().plan.adversaries.count()
    }
}

impl Shared {
    /// The node that a client's messages go to and come from: the server, an edge server of the last tier
    /// (they are alike), or a neighbour.
    fn counterpart(&self, client: u32) -> NodeId {
        if let Some(common) = &self.gossip {
            let mut neighbour = None;
            if let Ok(graph) = common.graph(1) {
                graph.each_source(client, 1, |other| {
                    neighbour.get_or_insert(other);
                });
            }
            return neighbour.map_or(Federation::SERVER, Federation::node_of);
        }
        let all = self.plan.hierarchy();
        match all.tiers.len().checked_sub(1) {
            Some(last) => Federation::node_of(all.members_of(last).start),
            None => Federation::SERVER,
        }
    }

    /// The size of a report that carries a model of `plain` bytes.
    fn report_bytes(&self, client: u32, plain: Bytes) -> Bytes {
        let Some(compression) = &self.plan.layers.compression else {
            return plain;
        };
        let model = &self.sizes.of(client).model;
        // The size of a compressed model depends little or not at all on its values.
        let values = vec![1e-3f32; model.parameters()];
        let mut rng = stream(0, 0, Purpose::Compression, 0);
        let coded = Codec::new(compression.clone()).encode(model.layout(), &values, &mut rng);
        coded.map_or(plain, |coded| Bytes(coded.len() as u64))
    }
}
