//! From a scenario to a federation: data loaded and dealt, links drawn, the method set up.
//!
//! Whatever can be refused before the first round is refused here. `shoal check` goes through it as a
//! run does and drops what comes of it, so that the two cannot say different things.

use super::{fits, RunError};
use crate::attack::Adversaries;
use crate::data::{
    inspect, load, DataError, Dataset, PartitionError, Partitioner, PublicSplit, Values,
};
use crate::fault;
use crate::federation::{Federation, Plan, Ranks, Whose};
use crate::learn::{
    total_memory, DeviceData, Features, HostDevice, LearnError, Normalisation, Precision,
};
use crate::method::MethodError;
use crate::model::weights::{Drawn, WeightsFile};
use crate::model::{Model, ParamSet};
use crate::net::{LinkNetwork, LinkTable, LinkTier, Rates, Topology};
use crate::observe::record::ClassEntry;
use crate::quantity::{Bandwidth, Distribution};
use crate::scenario::{Link, Member, Pretrained, Public, Scenario};
use crate::sim::rng::{stream, Purpose};
use crate::text::Diagnostics;
use std::ops::Range;
use std::sync::Arc;
use tch::Device;

/// Builds the federation of a scenario on a host device.
///
/// # Errors
/// When data cannot be had or dealt, links make no network, or the device has no room. What a field of
/// the scenario is to blame for is a [`RunError::Scenario`] with its place.
pub fn assemble(scenario: &Scenario, device: HostDevice) -> Result<Federation, RunError> {
    Ok(assemble_counted(scenario, device)?.0)
}

/// The same, with the classes of its data as they were before faults and attacks changed any.
pub(super) fn assemble_counted(
    scenario: &Scenario,
    device: HostDevice,
) -> Result<(Federation, Vec<ClassEntry>), RunError> {
    let mut precisions = scenario
        .population
        .iter()
        .map(|member| member.group.training.precision);
    let tf32 = precisions.any(|precision| precision == Precision::Tf32);
    let model = scenario.build_model()?;
    if let (HostDevice::Cpu, Some(limit)) = (device, total_memory()) {
        fits::fits(scenario, &model, limit)?;
    }
    let device = device.open_for(if tf32 {
        Precision::Tf32
    } else {
        Precision::Single
    })?;
    let seed = scenario.seed;
    let initial = initial(scenario, &model)?;
    let mut split = load(&scenario.data, seed, &scenario.base)
        .map_err(|problem| unreadable(scenario, problem))?;
    let classes = split.classes().into_iter().map(|class| ClassEntry {
        index: class.index,
        name: class.name,
        train: class.train,
        test: class.test,
    });
    let classes = classes.collect();
    let named = scenario
        .population
        .iter()
        .map(|member| (member.group.name.as_ref(), member.group.count));
    let faults = fault::FaultPlan::new(&scenario.faults, named.clone(), seed);
    let clients = scenario.clients();
    let public = match scenario.public {
        Some(Public { share, select }) => {
            PublicSplit::draw(&split.train, share.get(), select.get(), seed)
        }
        None => PublicSplit::default(),
    };
    let partition = scenario.partition.by.partition_without(
        &split.train,
        &public.all(),
        clients as usize,
        scenario.partition.min_per_client,
        seed,
    );
    let partition = partition
        .map_err(|problem| scenario.blame(blamed_for_dealing(scenario, &problem), problem))?;
    let (partition, holdout) = partition.holdout(scenario.partition.holdout, seed);
    for (entry, fault, members) in &faults.data {
        let samples = members
            .iter()
            .flat_map(|client| partition.client(client as usize).iter().copied());
        split.train.spoil(*fault, samples, *entry, seed);
    }
    let levels = scenario.build_levels(&model)?;
    let groups: Vec<_> = scenario
        .population
        .iter()
        .map(|member| member.group.clone())
        .collect();
    let mut adversaries = Adversaries::draw(&scenario.adversaries, named, seed);
    let aimed_at = split.test.as_evaluation();
    let triggered = adversaries.poison(&mut split.train, aimed_at, &partition, seed);
    let on_device = |data| on_device(data, device).map_err(|error| refused(scenario, error));
    let triggered = triggered.map(on_device).transpose()?;
    let test = split.test.into_evaluation();
    let mut first = 0;
    let ranks = groups.iter().map(|group| {
        let clients = first..first + group.count;
        first += group.count;
        match group.correlation {
            Some(correlation) if correlation.needs_samples() => {
                Ranks::of(|client| partition.size(client as usize), clients, seed)
            }
            _ => Ranks::default(),
        }
    });
    let ranks: Vec<Ranks> = ranks.collect();
    let network = network(scenario, &ranks)?;
    let plan = Plan {
        seed,
        model,
        init: scenario.model.init,
        initial,
        levels,
        public,
        train: on_device(split.train)?,
        test: on_device(test)?,
        partition,
        holdout,
        groups,
        ranks,
        server: scenario.server.device,
        hierarchy: scenario
            .hierarchy
            .iter()
            .map(|above| above.tier.clone())
            .collect(),
        server_checkpoint: scenario.server.checkpoint_every,
        by_speed: Vec::new(),
        method: scenario.method.clone(),
        selection: scenario.selection.clone(),
        defence: scenario.defence.clone(),
        adversaries: Arc::new(adversaries),
        triggered,
        layers: scenario.layers.clone(),
        schedule: scenario.schedule.clone(),
        gossip: scenario.gossip().cloned(),
        evaluation: scenario.evaluation.clone(),
        compute: scenario.compute,
        checkpoint_every: scenario.checkpoint.map(|checkpoint| checkpoint.every),
        keep: scenario.record.model,
    };
    let federation = Federation::new(plan, network).map_err(|error| unfit(scenario, error))?;
    Ok((federation.amid(faults), classes))
}

/// The weights that the model begins with, where they come from a file: of weights, or of a module.
fn initial(scenario: &Scenario, model: &Model) -> Result<Option<ParamSet>, RunError> {
    let own = model.script().map(|script| script.initial().clone());
    let Some(Pretrained { file, draw }) = &scenario.model.weights else {
        return Ok(own);
    };
    let drawn = match own {
        Some(own) => own,
        None => {
            let drawn = model.init(scenario.seed, scenario.model.init);
            drawn.map_err(MethodError::from)?
        }
    };
    let read = WeightsFile::open(&scenario.base.join(file));
    let read = read.and_then(|mut file| file.load(&drawn, Drawn(draw)));
    let read = read.map_err(|problem| scenario.blame("init", problem))?;
    Ok(Some(read))
}

/// What is wrong with the data: `problem`, at which reading stopped, and whatever else there is.
fn unreadable(scenario: &Scenario, problem: DataError) -> Diagnostics {
    let mut all = Diagnostics::default();
    let others = inspect(&scenario.data, scenario.seed, &scenario.base).err();
    let others = others.unwrap_or_default();
    let alone = [problem];
    let first = alone.iter().filter(|problem| !others.contains(problem));
    for problem in first.chain(&others) {
        all.push(scenario.complaint("data", problem));
    }
    all
}

/// The field that is to blame where samples cannot be dealt.
fn blamed_for_dealing(scenario: &Scenario, problem: &PartitionError) -> &'static str {
    let least = "partition.min_per_client";
    match problem {
        PartitionError::TooFewSamples { .. } => match scenario.partition.by {
            Partitioner::Iid {
                samples_per_client: Some(_),
            } => "partition.by.samples_per_client",
            // The default is in no line of the file; the population is.
            _ if scenario.says(least) => least,
            _ => "population",
        },
        PartitionError::TooManyParts { .. } | PartitionError::Classes { .. } => {
            "partition.by.per_client"
        }
        PartitionError::TooFewUsers { .. } => "population",
        PartitionError::SmallUser { .. } if scenario.says(least) => least,
        PartitionError::SmallUser { .. }
        | PartitionError::NoUsers(_)
        | PartitionError::OutOfRange(_) => "partition.by",
        PartitionError::Data(_) => "data",
    }
}

/// The error of data that are not what they say, at their field; one of the host is not the scenario's.
fn refused(scenario: &Scenario, error: LearnError) -> RunError {
    match error {
        LearnError::Data { .. } | LearnError::NoSamples | LearnError::Shape { .. } => {
            scenario.blame("data", error).into()
        }
        other => other.into(),
    }
}

/// The error of a method that cannot be had on this network or without a public set, likewise.
fn unfit(scenario: &Scenario, error: MethodError) -> RunError {
    match error {
        MethodError::NoPublicData => scenario.blame("public", error).into(),
        MethodError::Network(_) | MethodError::Number { .. } => {
            scenario.blame("method", error).into()
        }
        other => other.into(),
    }
}

/// Moves a data set to the host device; on the CPU nothing is copied.
fn on_device(data: Dataset, device: Device) -> Result<Arc<DeviceData>, LearnError> {
    let features = match data.values {
        Values::U8(values) => Features::U8(values),
        Values::F32(values) => Features::F32(values),
    };
    let normal = Normalisation {
        scale: data.scaling.scale,
        mean: data.scaling.mean,
        std: data.scaling.std,
    };
    let data = DeviceData::new(
        &data.shape,
        features,
        normal,
        data.labels,
        data.classes,
        device,
    )?;
    Ok(Arc::new(data))
}

/// The links: the server's, then each group's.
fn network(scenario: &Scenario, ranks: &[Ranks]) -> Result<LinkNetwork, RunError> {
    let mut table = LinkTable::new();
    // Rates of its own are drawn for the server's link as for a client's, and it has but one.
    let own = |nodes: Range<u32>, law: &Option<Distribution>, which| {
        let law = law.as_ref().into_iter();
        let each = law.flat_map(|law| {
            let rates = nodes.clone().map(|node| {
                let mut rng = stream(scenario.seed, u64::from(node), Purpose::Population, which);
                rate(law.sample(&mut rng))
            });
            rates.collect::<Vec<_>>()
        });
        each.collect()
    };
    let rates = |nodes: Range<u32>, link: &Link| Rates {
        up: own(nodes.clone(), &link.up, 2),
        down: own(nodes, &link.down, 3),
    };
    // The observer of a federation without a server uses no link: one that has the least to say of
    // how soon anybody can hear of anything.
    let peers = scenario.gossip().is_some();
    let members = scenario.population.iter().flat_map(Member::links);
    let slowest = members.max_by_key(|link| link.model.latency.bound());
    let server = slowest.filter(|_| peers).unwrap_or(&scenario.server.link);
    table.push_with(1, server.model.clone(), rates(0..1, server))?;
    let mut first = 0;
    for (member, ranks) in scenario.population.iter().zip(ranks) {
        push(&mut table, member, (scenario.seed, first), ranks)?;
        first += member.group.count;
    }
    if peers {
        return Ok(LinkNetwork::new(table, Topology::Mesh)?);
    }
    if scenario.hierarchy.is_empty() {
        let centre = Federation::SERVER;
        return Ok(LinkNetwork::new(table, Topology::Star { centre })?);
    }
    let mut node = first + 1;
    let clients = 1..node;
    let mut layers: Vec<Range<u32>> = std::iter::once(0..1).collect();
    for above in &scenario.hierarchy {
        let nodes = node..node + above.tier.count;
        let own = rates(nodes.clone(), &above.link);
        table.push_with(above.tier.count, above.link.model.clone(), own)?;
        node = nodes.end;
        layers.push(nodes);
    }
    layers.push(clients);
    Ok(LinkNetwork::new(table, Topology::Layers(layers))?)
}

/// A draw that is no rate (a normal's far tail) is the slowest there can be.
fn rate(drawn: f64) -> Bandwidth {
    Bandwidth::bits_per_second(drawn).unwrap_or(Bandwidth::SLOWEST)
}

/// The links of a group, whose first client has the number `first`.
fn push(
    table: &mut LinkTable,
    member: &Member,
    (seed, first): (u64, u32),
    ranks: &Ranks,
) -> Result<(), RunError> {
    let group = &member.group;
    let all = (0..group.count).map(|place| Whose {
        seed,
        client: first + place,
        place,
        group,
        ranks,
    });
    if let Some(capacity) = &group.capacity {
        let rates: Vec<Bandwidth> = all.map(|whose| capacity.rate(whose.place)).collect();
        let rates = Rates {
            up: rates.clone(),
            down: rates,
        };
        return Ok(table.push_with(group.count, member.link.model.clone(), rates)?);
    }
    let links = member.links();
    let of: Vec<u8> = match links.len() {
        1 => Vec::new(),
        // There are fewer tiers than a byte has values.
        _ => all.clone().map(|whose| whose.tier() as u8).collect(),
    };
    let link_of = |place: u32| {
        let tier = of.get(place as usize).copied().unwrap_or_default();
        &links[usize::from(tier)]
    };
    let mut rates = Rates::default();
    if links.iter().any(|link| link.up.is_some()) {
        let drawn = all.clone().map(|whose| match &link_of(whose.place).up {
            Some(law) => rate(whose.up(law)),
            // Of a tier whose rate is the model's: nobody looks at it.
            None => Bandwidth::SLOWEST,
        });
        rates.up = drawn.collect();
    }
    if links.iter().any(|link| link.down.is_some()) {
        let drawn = all.map(|whose| match &link_of(whose.place).down {
            Some(law) => rate(whose.down(law)),
            None => Bandwidth::SLOWEST,
        });
        rates.down = drawn.collect();
    }
    if of.is_empty() {
        return Ok(table.push_with(group.count, member.link.model.clone(), rates)?);
    }
    let tiers = links.iter().map(|link| LinkTier {
        model: link.model.clone(),
        own: [link.up.is_some(), link.down.is_some()],
    });
    Ok(table.push_tiers(tiers.collect(), of, rates)?)
}
