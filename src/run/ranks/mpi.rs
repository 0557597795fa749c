//! The link over MPI.
//!
//! One thread starts MPI and is the only one to call it, which is the least that any MPI with threads
//! grants (`MPI_THREAD_FUNNELED`). Nothing waits inside MPI: frames are sent and received bit by bit
//! with every call. An error is returned, not the end of the process, so that rank 0 can say what
//! happened.

use super::lent::Lent;
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
    /// What has not yet left.
    leaving: VecDeque<Leaving>,
    /// What is arriving, and what has arrived of a frame that goes on, by rank.
    arriving: Vec<Arriving>,
    comm: ffi::MPI_Comm,
    rank: usize,
    ranks: usize,
    /// Nothing only once it is being dropped. Dropping it waits for all other ranks, so that is done
    /// in [`Link::close`] alone.
    universe: Option<Universe>,
}

/// A frame on its way, with the requests for its pieces. MPI reads from it until all are done.
struct Leaving {
    requests: Vec<ffi::MPI_Request>,
    frame: Lent<Vec<u8>>,
}

#[derive(Default)]
struct Arriving {
    pieces: VecDeque<Piece>,
    frame: Vec<u8>,
}

/// A message that comes in. MPI writes to its bytes until the request is done.
struct Piece {
    request: ffi::MPI_Request,
    bytes: Lent<Vec<u8>>,
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
        leaving: VecDeque::new(),
        arriving: (0..ranks).map(|_| Arriving::default()).collect(),
        comm,
        rank: usize::try_from(rank).unwrap_or(0),
        ranks,
        universe: Some(universe),
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
        let count = frame.len().div_ceil(PIECE);
        let mut leaving = Leaving {
            requests: Vec::with_capacity(count),
            frame: Lent::new(frame),
        };
        let mut begun = Ok(());
        for (number, piece) in leaving.frame.chunks(PIECE).enumerate() {
            let tag = if number + 1 == count { LAST } else { MORE };
            let mut request = null_request();
            // SAFETY: `piece` lies in a vector that is kept, unmoved and unwritten, until the request
            // is done: it is lent, and lives on if it were dropped before.
            begun = check(unsafe {
                ffi::MPI_Isend(
                    piece.as_ptr().cast(),
                    piece.len() as c_int,
                    ffi::RSMPI_UINT8_T,
                    target,
                    tag,
                    self.comm,
                    &mut request,
                )
            });
            if begun.is_err() {
                break;
            }
            leaving.requests.push(request);
        }
        // Of a frame that cannot go as a whole, MPI reads what it has taken of it.
        self.leaving.push_back(leaving);
        begun?;
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
            drop(self.universe.take());
        } else {
            self.abort();
        }
    }

    fn abort(self) {
        // SAFETY: MPI has been started, and the communicator is the world's.
        unsafe { ffi::MPI_Abort(self.comm, 1) };
        super::leave(1);
    }
}

/// A link that is not closed, after an error or a panic, parts from nobody: that would wait for ranks
/// that may not come.
impl Drop for Mpi {
    fn drop(&mut self) {
        std::mem::forget(self.universe.take());
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
        let mut at = 0;
        while let Some(leaving) = self.leaving.get(at) {
            if !leaving.requests.is_empty() {
                at += 1;
            } else if let Some(gone) = self.leaving.swap_remove_back(at) {
                drop(gone.frame.back());
            }
        }
        Ok(())
    }

    /// Begins to receive the next message that somebody sends; whether there was one.
    fn match_next(&mut self) -> Result<bool, String> {
        let mut found = 0;
        // SAFETY: both are handles of MPI's for nothing, and a status is plain numbers.
        let (mut message, mut status): (_, ffi::MPI_Status) =
            unsafe { (ffi::RSMPI_MESSAGE_NULL, std::mem::zeroed()) };
        // SAFETY: every pointer is to a value that lives until the call is over.
        check(unsafe {
            ffi::MPI_Improbe(
                ffi::RSMPI_ANY_SOURCE,
                ffi::RSMPI_ANY_TAG,
                self.comm,
                &mut found,
                &mut message,
                &mut status,
            )
        })?;
        if found == 0 {
            return Ok(false);
        }
        let source = usize::try_from(status.MPI_SOURCE).ok();
        let Some(arriving) = source.and_then(|source| self.arriving.get_mut(source)) else {
            return Err(format!(
                "a message of rank {}, which is none",
                status.MPI_SOURCE
            ));
        };
        let mut count = 0;
        // SAFETY: the status is that of the message just found.
        check(unsafe { ffi::MPI_Get_count(&status, ffi::RSMPI_UINT8_T, &mut count) })?;
        let mut bytes = Lent::new(vec![0u8; usize::try_from(count).unwrap_or(0)]);
        let mut request = null_request();
        // SAFETY: the bytes that MPI writes to are as many as it says, and are kept, unmoved and
        // unread, until the request is done: they are lent, and live on if they were dropped before.
        check(unsafe {
            ffi::MPI_Imrecv(
                bytes.as_mut_ptr().cast(),
                count,
                ffi::RSMPI_UINT8_T,
                &mut message,
                &mut request,
            )
        })?;
        arriving.pieces.push_back(Piece {
            request,
            bytes,
            last: status.MPI_TAG == LAST,
        });
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
            let bytes = bytes.back();
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

/// A request that is nothing yet.
fn null_request() -> ffi::MPI_Request {
    // SAFETY: a handle that MPI's library has for this, and never changes.
    unsafe { ffi::RSMPI_REQUEST_NULL }
}

fn is_done(request: &mut ffi::MPI_Request) -> Result<bool, String> {
    let mut done = 0;
    // SAFETY: the request is one that MPI gave and that was not found done before, whose memory is
    // lent for as long; it becomes the null handle once it is done. Statuses may be ignored.
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
    // SAFETY: there is room for the longest text that MPI has, and a zero behind it.
    unsafe { ffi::MPI_Error_string(code, text.as_mut_ptr().cast(), &mut length) };
    let text = text
        .get(..usize::try_from(length).unwrap_or(0))
        .unwrap_or_default();
    Err(format!("MPI: {}", String::from_utf8_lossy(text)))
}
