//! The names of faults in a scenario.

use super::{ClientFault, Cut, DataFault, LinkFault, ReportFault, ServerFault, What};

impl What {
    /// The name of the fault in a scenario.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Link(fault) => match fault {
                LinkFault::Delay(_) => "Delay",
                LinkFault::Offset(_) => "Offset",
                LinkFault::Loss(_) => "Loss",
                LinkFault::BurstLoss { .. } => "BurstLoss",
                LinkFault::Duplicate { .. } => "Duplicate",
                LinkFault::Reorder { .. } => "Reorder",
                LinkFault::Corrupt { .. } => "Corrupt",
                LinkFault::Bandwidth(_) => "Bandwidth",
                LinkFault::Mtu(_) => "Mtu",
                LinkFault::Queue { .. } => "Queue",
                LinkFault::Outage(outage) if outage.held => "Hold",
                LinkFault::Outage(outage) => match outage.cut {
                    Cut::All => "Disconnect",
                    Cut::Half | Cut::Groups(_) | Cut::One => "Partition",
                },
            },
            Self::Client(fault) => match fault {
                ClientFault::Crash { .. } => "Crash",
                ClientFault::Pause => "Pause",
                ClientFault::Slow(_) => "Slow",
                ClientFault::Degrade(_) => "Degrade",
                ClientFault::Throttle { .. } => "Throttle",
                ClientFault::OutOfMemory => "OutOfMemory",
                ClientFault::Clock { .. } => "Clock",
                ClientFault::Panic => "Panic",
                ClientFault::PartialWork(_) => "PartialWork",
                ClientFault::StaleModel => "StaleModel",
                ClientFault::Report(report) => match report {
                    ReportFault::NotANumber => "NotANumber",
                    ReportFault::Infinite => "Infinite",
                    ReportFault::WrongShape => "WrongShape",
                    ReportFault::WrongRound(_) => "WrongRound",
                    ReportFault::Duplicate(_) => "DuplicateReport",
                    ReportFault::Late(_) => "LateReport",
                    ReportFault::Replay => "ReplayReport",
                },
            },
            Self::Server(fault) => match fault {
                ServerFault::Slow(_) => "ServerSlow",
                ServerFault::ClockDrift(_) => "ServerClock",
                ServerFault::Crash => "ServerCrash",
                ServerFault::Torn => "TornCheckpoint",
            },
            Self::Data(fault) => match fault {
                DataFault::LabelNoise(_) => "LabelNoise",
                DataFault::FeatureNoise(_) => "FeatureNoise",
            },
        }
    }
}
