//! Messages while faults hold: what the fault plan does to a message when it is sent, when its last
//! packet has left, and when it arrives.
//!
//! The entry points are marked cold, so that a run without faults does not pay for their code.

use super::link::{packets, Transport};
use super::loss::Loss;
use super::network::{Draws, LinkNetwork};
use super::nic::{Nic, Transfer};
use super::wire::Wire;
use crate::fault::{Corruption, LinkFault, LinkFaults, Traffic};
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::sim::{NetContext, Parcel};

/// The properties of a message by which the fault plan selects messages.
pub(super) fn traffic<M: Wire>(parcel: &Parcel<M>, attempt: u32, number: u64) -> Traffic {
    Traffic {
        source: parcel.source,
        target: parcel.target,
        sequence: parcel.sequence,
        attempt,
        kind: parcel.message.kind(),
        bytes: parcel.message.wire_bytes(),
        round: parcel.message.round(),
        number,
    }
}

/// What faults do to packets that the link itself let through.
#[derive(Default)]
struct Fate {
    lost: u64,
    /// Delay in addition to the latency of the links.
    delay: Span,
    /// The packets do not get across before this moment.
    held_until: VirtualTime,
    corrupt: Option<(u32, Corruption)>,
    /// Further copies of the message, each this much later than the first.
    copies: Vec<Span>,
}

impl LinkNetwork {
    /// Handles a message that the handler of a node sends.
    #[cold]
    pub(super) fn send_amid<M: Wire>(
        &self,
        faults: &LinkFaults,
        nic: &mut Nic<M>,
        parcel: Parcel<M>,
        cx: &mut NetContext<'_, M>,
    ) {
        let number = if faults.counts() {
            let sent = nic.memory().sent.entry(parcel.target).or_default();
            *sent += 1;
            *sent
        } else {
            0
        };
        let mtu = self.mtu_amid(faults, &parcel, number, cx.now());
        if let Transport::Tcp { .. } = self.group(parcel.source).model.transport {
            return self.open_stream(nic, parcel, number, mtu, cx);
        }
        let bytes = parcel.message.wire_bytes();
        let transfer = Transfer {
            packets: packets(bytes, mtu),
            parcel,
            attempt: 0,
            number,
            mtu,
        };
        if self.group(cx.node()).up(cx.node()).is_some() {
            let traffic = traffic(&transfer.parcel, 0, number);
            for pass in faults.met(&traffic, cx.now()).filter(|pass| pass.up) {
                let LinkFault::Queue { capacity, drop } = *pass.fault else {
                    continue;
                };
                let mut rng = faults.draws(&pass, &traffic);
                let now = (self.clock(cx.node()), cx.now());
                let Some(gone) = nic.make_room_up(now, (capacity, drop), bytes, &mut rng) else {
                    let all = transfer.packets;
                    return self.resend(nic, transfer, all, cx);
                };
                for transfer in gone {
                    let all = transfer.packets;
                    self.resend(nic, transfer, all, cx);
                }
            }
        }
        self.emit(nic, transfer, cx);
    }

    /// Makes room in the receiver's queue; returns whether the message may enter it.
    #[cold]
    pub(super) fn has_room_amid<M: Wire>(
        &self,
        faults: &LinkFaults,
        nic: &mut Nic<M>,
        parcel: &Parcel<M>,
        cx: &mut NetContext<'_, M>,
    ) -> bool {
        let traffic = traffic(parcel, 0, 0);
        for pass in faults.met(&traffic, cx.now()).filter(|pass| !pass.up) {
            let LinkFault::Queue { capacity, drop } = *pass.fault else {
                continue;
            };
            let mut rng = faults.draws(&pass, &traffic);
            let now = (self.clock(parcel.target), cx.now());
            match nic.make_room_down(now, (capacity, drop), traffic.bytes, &mut rng) {
                Some(gone) => gone.into_iter().for_each(|parcel| cx.drop(parcel)),
                None => return false,
            }
        }
        true
    }

    /// The number of bytes that one packet of a message carries.
    #[cold]
    pub(super) fn mtu_amid<M: Wire>(
        &self,
        faults: &LinkFaults,
        parcel: &Parcel<M>,
        number: u64,
        now: VirtualTime,
    ) -> Bytes {
        let traffic = traffic(parcel, 0, number);
        let mtus = faults
            .met(&traffic, now)
            .filter_map(|pass| match pass.fault {
                LinkFault::Mtu(mtu) => Some(*mtu),
                _ => None,
            });
        let own = self.group(parcel.source).model.mtu;
        mtus.fold(own, Bytes::min)
    }

    /// Handles the moment at which the last packet has left; `lost` is the number of packets that the
    /// links lose by themselves.
    #[cold]
    pub(super) fn emitted_amid<M: Wire>(
        &self,
        faults: &LinkFaults,
        nic: &mut Nic<M>,
        mut transfer: Transfer<M>,
        lost: u64,
        mut draws: Draws,
        cx: &mut NetContext<'_, M>,
    ) {
        let parcel = &transfer.parcel;
        if faults.crashes_within(parcel.source, parcel.sent, cx.now()) {
            // A node that goes down loses what it is sending.
            return cx.drop(transfer.parcel);
        }
        let traffic = traffic(parcel, transfer.attempt, transfer.number);
        let fate = self.fate(faults, nic, &traffic, transfer.packets - lost, cx.now());
        if lost + fate.lost > 0 {
            return self.resend(nic, transfer, lost + fate.lost, cx);
        }
        if let Some((entry, how)) = fate.corrupt {
            let mut rng = faults.draws_of(entry, &traffic);
            transfer.parcel.message = transfer.parcel.message.corrupt(how, &mut rng);
        }
        let from = self.group(traffic.source);
        let to = self.group(traffic.target);
        let held = fate.held_until.since(cx.now());
        let latency = held + draws.latency(from) + draws.latency(to) + fate.delay;
        for after in fate.copies {
            if let Some(message) = transfer.parcel.message.copied() {
                let at = cx.now() + latency.max(self.least()) + after;
                cx.copy(
                    Parcel {
                        message,
                        ..transfer.parcel
                    },
                    at,
                );
            }
        }
        self.depart(transfer.parcel, to, latency, cx);
    }

    fn fate<M: Wire>(
        &self,
        faults: &LinkFaults,
        nic: &mut Nic<M>,
        traffic: &Traffic,
        left: u64,
        now: VirtualTime,
    ) -> Fate {
        let mut fate = Fate::default();
        for pass in faults.met(traffic, now) {
            let mut rng = faults.draws(&pass, traffic);
            let left = left - fate.lost;
            let mut drawn =
                |law: &crate::quantity::Distribution| Span::from_seconds(law.sample(&mut rng));
            match pass.fault {
                LinkFault::Delay(by) => fate.delay = fate.delay + drawn(by),
                LinkFault::Reorder { hold } => fate.delay = fate.delay + drawn(hold),
                LinkFault::Offset(law) => fate.delay = fate.delay + faults.offset(&pass, law),
                LinkFault::Duplicate { after } => {
                    let after = drawn(after);
                    fate.copies.push(after);
                }
                LinkFault::Loss(p) => {
                    fate.lost += Loss::Independent { p: *p }.lost(left, &mut None, &mut rng);
                }
                LinkFault::BurstLoss {
                    p_good_to_bad,
                    p_bad_to_good,
                    loss_good,
                    loss_bad,
                } => {
                    let loss = Loss::GilbertElliott {
                        p_good_to_bad: *p_good_to_bad,
                        p_bad_to_good: *p_bad_to_good,
                        loss_good: *loss_good,
                        loss_bad: *loss_bad,
                    };
                    let key = (pass.entry, traffic.target);
                    let state = nic.memory().faults.entry(key).or_default();
                    fate.lost += loss.lost(left, state, &mut rng);
                }
                LinkFault::Corrupt { checksum: true, .. } => fate.lost += left.min(1),
                LinkFault::Corrupt { how, .. } => fate.corrupt = Some((pass.entry, *how)),
                LinkFault::Outage(outage) if outage.held => {
                    let until = pass.until.unwrap_or(now);
                    fate.held_until = fate.held_until.max(until);
                }
                LinkFault::Outage(_) => fate.lost += left,
                LinkFault::Bandwidth(_) | LinkFault::Mtu(_) | LinkFault::Queue { .. } => {}
            }
        }
        fate
    }
}
