//! The link over MPI.
//!
//! One thread starts MPI and is the only one to call it, which is the least that any MPI with threads
//! grants (`MPI_THREAD_FUNNELED`). Nothing waits inside MPI: frames are sent and received bit by bit
//! with every call. An error is returned, not the end of the process, so that rank 0 can say what
//! happened.

use super::link::Link;
use mpi::environment::Universe;
use mpi::ffi;
use mpi::topology::Communicator;
use mpi::traits::AsRaw;
use mpi::Threading;
use std::collections::VecDeque;
use std::ffi::c_int;
use std::time::{Duration, Instant};

/// The tag of a message with which a frame ends, and of one after which it goes on.
const LAST: c_int = 1;
const MORE: c_int = 2;

/// The longest message: MPI counts in 31 bits.
const PIECE: usize = 64 << 20;

/// How long rank 0 and the others wait for what is on its way when they part.
const PARTING: Duration = Duration::from_secs(5);

pub struct Mpi {
    universe: Universe,
    comm: ffi::MPI_Comm,
    rank: usize,
    ranks: usize,
    /// What has not yet left.
    leaving: VecDeque<Leaving>,
    /// What is arriving, and what has arrived of a frame that goes on, by rank.
    arriving: Vec<Arriving>,
}

/// A frame on its way, with the requests for its pieces.
struct Leaving {
    requests: Vec<ffi::MPI_Request>,
    /// MPI reads from it until all requests are done.
    _frame: Vec<u8>,
}

#[derive(Default)]
struct Arriving {
    pieces: VecDeque<Piece>,
    frame: Vec<u8>,
}

struct Piece {
    request: ffi::MPI_Request,
    bytes: Vec<u8>,
    last: bool,
}

/// Starts MPI on this thread, which is to be the one that uses the link.
///
/// # Errors
/// When MPI cannot be used as it must be.
pub fn open() -> Result<Mpi, String> {
    let (universe, level) = mpi::initialize_with_threading(Threading::Funneled)
        .ok_or("MPI is already in use in this process")?;
    if level < Threading::Funneled {
        return Err(
            "this MPI library does without threads (MPI_THREAD_SINGLE); shoal needs one with \
             MPI_THREAD_FUNNELED at least"
                .into(),
        );
    }
    let world = universe.world();
    let (rank, ranks) = (world.rank(), world.size());
    let comm = world.as_raw();
    // SAFETY: MPI has been started, and the communicator is the world's.
    check(unsafe { ffi::MPI_Comm_set_errhandler(comm, ffi::RSMPI_ERRORS_RETURN) })?;
    if rank > 0 {
        // What is sent to all of them (Ctrl-C, the end of a batch job) is rank 0's to answer; the others
        // end when that does.
        let _ = ctrlc::set_handler(|| {});
    }
    let ranks = usize::try_from(ranks).unwrap_or(1);
    Ok(Mpi {
        universe,
        comm,
        rank: usize::try_from(rank).unwrap_or(0),
        ranks,
        leaving: VecDeque::new(),
        arriving: (0..ranks).map(|_| Arriving::default()).collect(),
    })
}

impl Link for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn send(&mut self, to: usize, frame: Vec<u8>) -> Result<(), String> {
        let target = c_int::try_from(to).map_err(|_| format!("there is no rank {to}"))?;
        let pieces = frame.chunks(PIECE);
        let count = pieces.len();
        let mut requests = Vec::with_capacity(count);
        for (number, piece) in pieces.enumerate() {
            let tag = if number + 1 == count { LAST } else { MORE };
            // SAFETY: a null handle is a request that is nothing yet; `piece` lies in a vector that is
            // kept, unmoved and unwritten, until the request is done.
            unsafe {
                let mut request = ffi::RSMPI_REQUEST_NULL;
                check(ffi::MPI_Isend(
                    piece.as_ptr().cast(),
                    piece.len() as c_int,
                    ffi::RSMPI_UINT8_T,
                    target,
                    tag,
                    self.comm,
                    &mut request,
                ))?;
                requests.push(request);
            }
        }
        self.leaving.push_back(Leaving {
            requests,
            _frame: frame,
        });
        self.push_on()
    }

    fn receive(&mut self) -> Result<Option<(usize, Vec<u8>)>, String> {
        self.push_on()?;
        while self.match_next()? {}
        for rank in 0..self.ranks {
            if let Some(frame) = self.arriving[rank].frame()? {
                return Ok(Some((rank, frame)));
            }
        }
        Ok(None)
    }

    fn is_busy(&self) -> bool {
        let half = |arriving: &Arriving| !arriving.pieces.is_empty() || !arriving.frame.is_empty();
        !self.leaving.is_empty() || self.arriving.iter().any(half)
    }

    fn close(mut self) {
        let began = Instant::now();
        while !self.leaving.is_empty() && began.elapsed() < PARTING {
            if self.push_on().is_err() {
                break;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        if self.leaving.is_empty() {
            // Everybody meets here.
            drop(self.universe);
        } else {
            self.abort();
        }
    }

    fn abort(self) {
        // Parting in peace would wait for somebody who will not come, and MPI may still read frames.
        std::mem::forget(self.leaving);
        std::mem::forget(self.arriving);
        std::mem::forget(self.universe);
        // SAFETY: MPI has been started, and the communicator is the world's.
        unsafe { ffi::MPI_Abort(self.comm, 1) };
        super::leave(1);
    }
}

impl Mpi {
    /// Lets what is leaving move on.
    fn push_on(&mut self) -> Result<(), String> {
        for leaving in &mut self.leaving {
            while let Some(request) = leaving.requests.last_mut() {
                if !is_done(request)? {
                    break;
                }
                leaving.requests.pop();
            }
        }
        self.leaving.retain(|leaving| !leaving.requests.is_empty());
        Ok(())
    }

    /// Begins to receive the next message that somebody sends; whether there was one.
    fn match_next(&mut self) -> Result<bool, String> {
        let mut found = 0;
        // SAFETY: every pointer is to a value that lives until the call is over, and a status is plain
        // numbers; the bytes that MPI writes to are kept, unmoved, until the request is done.
        unsafe {
            let mut message = ffi::RSMPI_MESSAGE_NULL;
            let mut status: ffi::MPI_Status = std::mem::zeroed();
            check(ffi::MPI_Improbe(
                ffi::RSMPI_ANY_SOURCE,
                ffi::RSMPI_ANY_TAG,
                self.comm,
                &mut found,
                &mut message,
                &mut status,
            ))?;
            if found == 0 {
                return Ok(false);
            }
            let mut count = 0;
            check(ffi::MPI_Get_count(&status, ffi::RSMPI_UINT8_T, &mut count))?;
            let mut bytes = vec![0u8; usize::try_from(count).unwrap_or(0)];
            let mut request = ffi::RSMPI_REQUEST_NULL;
            check(ffi::MPI_Imrecv(
                bytes.as_mut_ptr().cast(),
                count,
                ffi::RSMPI_UINT8_T,
                &mut message,
                &mut request,
            ))?;
            let source = usize::try_from(status.MPI_SOURCE).unwrap_or(usize::MAX);
            match self.arriving.get_mut(source) {
                Some(arriving) => arriving.pieces.push_back(Piece {
                    request,
                    bytes,
                    last: status.MPI_TAG == LAST,
                }),
                None => return Err(format!("a message of rank {source}, which is none")),
            }
        }
        Ok(true)
    }
}

impl Arriving {
    /// The next frame that is all there.
    fn frame(&mut self) -> Result<Option<Vec<u8>>, String> {
        while let Some(piece) = self.pieces.front_mut() {
            if !is_done(&mut piece.request)? {
                break;
            }
            let Some(Piece { bytes, last, .. }) = self.pieces.pop_front() else {
                break;
            };
            match self.frame.is_empty() {
                true => self.frame = bytes,
                false => self.frame.extend_from_slice(&bytes),
            }
            if last {
                return Ok(Some(std::mem::take(&mut self.frame)));
            }
        }
        Ok(None)
    }
}

fn is_done(request: &mut ffi::MPI_Request) -> Result<bool, String> {
    let mut done = 0;
    // SAFETY: the request is one of MPI's, or the null handle that it becomes once it is done.
    check(unsafe { ffi::MPI_Test(request, &mut done, ffi::RSMPI_STATUS_IGNORE) })?;
    Ok(done != 0)
}

/// An error code of MPI's in words.
fn check(code: c_int) -> Result<(), String> {
    if code == ffi::MPI_SUCCESS as c_int {
        return Ok(());
    }
    let mut text = [0u8; ffi::MPI_MAX_ERROR_STRING as usize + 1];
    let mut length = 0;
    // SAFETY: there is room for the longest text that MPI has.
    unsafe { ffi::MPI_Error_string(code, text.as_mut_ptr().cast(), &mut length) };
    let text = text
        .get(..usize::try_from(length).unwrap_or(0))
        .unwrap_or_default();
    Err(format!("MPI: {}", String::from_utf8_lossy(text)))
}
