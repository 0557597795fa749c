//! Links.

use super::Resolver;
use crate::net::tcp::Congestion;
use crate::net::{
    preset, presets, Connection, Handshake, Latency, LinkModel, Loss, Sharing, Transport,
};
use crate::quantity::{Bandwidth, Distribution};
use crate::registry::Interned;
use crate::scenario::file::{
    CongestionFile, ConnectionFile, HandshakeFile, LinkFields, LossFile, PresetOr, SharingFile,
    TransportFile,
};
use crate::scenario::Link;
use crate::text::fields::{OrDistribution, Rate};

impl Resolver<'_> {
    pub(super) fn link(&mut self, typed: PresetOr<LinkFields>, path: &str) -> Link {
        let fields = match typed {
            PresetOr::Preset(name) => LinkFields {
                preset: Some(name),
                ..LinkFields::default()
            },
            PresetOr::Fields(fields) => fields,
        };
        let mut model = match &fields.preset {
            Some(name) => preset(name).unwrap_or_else(|| {
                let known = presets();
                let path = self.preset_path(path);
                self.unknown(&path, "a link", name, known.iter().map(|p| p.name));
                LinkModel::ideal()
            }),
            None => LinkModel::ideal(),
        };
        let bound = fields.bound.map(|bound| bound.0);
        match (&fields.latency, bound) {
            (None, None) => {}
            (latency, bound) => {
                let distribution = match latency {
                    Some(latency) => latency.distribution().clone(),
                    None => model.latency.distribution().clone(),
                };
                match Latency::new(distribution, bound) {
                    Ok(latency) => model.latency = latency,
                    Err(error) => {
                        let field = if latency.is_some() {
                            "latency"
                        } else {
                            "bound"
                        };
                        self.complain(&format!("{path}.{field}"), error.to_string());
                    }
                }
            }
        }
        let up = rate(fields.up, &mut model.up);
        let down = rate(fields.down, &mut model.down);
        if let Some(sharing) = fields.sharing {
            model.sharing = match sharing {
                SharingFile::Fair => Sharing::Fair,
                SharingFile::Fifo => Sharing::Fifo,
            };
        }
        if let Some(loss) = fields.loss {
            model.loss = match loss {
                LossFile::None => Loss::None,
                LossFile::Independent(p) => Loss::Independent { p: p.0 },
                LossFile::GilbertElliott {
                    p_good_to_bad,
                    p_bad_to_good,
                    loss_good,
                    loss_bad,
                } => Loss::GilbertElliott {
                    p_good_to_bad: p_good_to_bad.0,
                    p_bad_to_good: p_bad_to_good.0,
                    loss_good: loss_good.0,
                    loss_bad: loss_bad.0,
                },
                LossFile::Other(law) => Loss::Other(Interned::new(law)),
            };
        }
        if let Some(mtu) = fields.mtu {
            model.mtu = mtu.0;
        }
        if let Some(header) = fields.header {
            model.header = header.0;
        }
        if let Some(transport) = fields.transport {
            model.transport = match transport {
                TransportFile::Datagram => Transport::Datagram,
                TransportFile::Reliable {
                    timeout,
                    backoff,
                    retries,
                } => Transport::Reliable {
                    timeout: timeout.0,
                    backoff,
                    retries,
                },
                TransportFile::Tcp {
                    congestion,
                    initial_window,
                    receive_window,
                } => Transport::Tcp {
                    congestion: match congestion {
                        CongestionFile::Cubic => Congestion::Cubic,
                        CongestionFile::Reno => Congestion::Reno,
                        CongestionFile::Bbr => Congestion::Bbr,
                    },
                    initial_window,
                    receive_window: receive_window.0,
                },
                TransportFile::Other(law) => Transport::Other(Interned::new(law)),
            };
        }
        if let Some(buffer) = fields.buffer {
            model.buffer = Some(buffer.0);
        }
        if let Some(connection) = fields.connection {
            model.connection = match connection {
                ConnectionFile::Persistent => Connection::Persistent,
                ConnectionFile::PerMessage { handshake } => Connection::PerMessage {
                    handshake: match handshake {
                        HandshakeFile::Tcp => Handshake::Tcp,
                        HandshakeFile::Tls13 => Handshake::Tls13,
                        HandshakeFile::Tls13Resumed => Handshake::Tls13Resumed,
                        HandshakeFile::Quic0Rtt => Handshake::Quic0Rtt,
                    },
                },
            };
        }
        if let Some(acks) = fields.acks {
            model.acks = acks;
        }
        for problem in model.problems() {
            self.complain(path, problem);
        }
        Link { model, up, down }
    }
}

/// A rate that is the same for all goes into the model; one that is drawn per client is returned.
fn rate(
    typed: Option<OrDistribution<Rate>>,
    shared: &mut Option<Bandwidth>,
) -> Option<Distribution> {
    match typed?.into_distribution() {
        Distribution::Constant(rate) => {
            *shared = Bandwidth::bits_per_second(rate);
            None
        }
        drawn => {
            *shared = Bandwidth::bits_per_second(drawn.mean());
            Some(drawn)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::net::Loss;
    use crate::scenario::Scenario;
    use std::path::Path;

    /// `None` is a law of loss here and not the absence of one: once it left the preset's loss as it was.
    #[test]
    fn no_loss_beside_a_preset_is_no_loss() {
        let loss = |link: &str| {
            let text = format!(
                "(data: Digits, model: [Flatten, Dense(10)], population: [(count: 8, link: {link})])"
            );
            let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]).unwrap();
            scenario.population[0].link.model.loss
        };
        assert_ne!(loss("\"3g\""), Loss::None);
        assert_eq!(loss("(preset: \"3g\")"), loss("\"3g\""));
        assert_eq!(loss("(preset: \"3g\", loss: None)"), Loss::None);
    }
}
