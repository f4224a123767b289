//! Tasks that wait for the same thing, each to be woken once.
//!
//! Who waits does so under the lock under which it looked and found nothing, so that nothing is missed between.

use std::task::Waker;

use slab::Slab;

#[derive(Default)]
pub(super) struct Waiters {
    wakers: Slab<Waker>,
    /// How often all were woken.
    round: u64,
}

/// A place among those who wait: round and number.
#[derive(Default)]
pub(super) struct Seat(Option<(u64, usize)>);

impl Waiters {
    /// `waker` is woken the next time, in the place of the one that had this seat.
    pub fn wait(&mut self, seat: &mut Seat, waker: &Waker) {
        match seat.0.filter(|(round, _)| *round == self.round) {
            Some((_, number)) => self.wakers[number].clone_from(waker),
            None => seat.0 = Some((self.round, self.wakers.insert(waker.clone()))),
        }
    }

    pub fn leave(&mut self, seat: &Seat) {
        if let Some((round, number)) = seat.0
            && round == self.round
        {
            self.wakers.remove(number);
        }
    }

    /// Those to wake, which is for when no lock is held: some may run at once.
    #[must_use]
    pub fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.round += 1;
        let next = Slab::with_capacity(self.wakers.len());
        std::mem::replace(&mut self.wakers, next).into_iter().map(|(_, waker)| waker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn each_is_woken_once_and_who_left_is_not() {
        let counts: [Arc<Count>; 4] = Default::default();
        let [one, two, three, other] = counts.clone().map(Waker::from);
        let (mut waiters, mut seats) = (Waiters::default(), [Seat::default(), Seat::default(), Seat::default()]);
        for (seat, waker) in seats.iter_mut().zip([&one, &two, &three]) {
            waiters.wait(seat, waker);
            waiters.wait(seat, waker);
        }
        waiters.wait(&mut seats[2], &other);
        waiters.leave(&seats[1]);
        waiters.take().for_each(Waker::wake);
        waiters.take().for_each(Waker::wake);
        let woken = || counts.each_ref().map(|count| count.0.load(Ordering::SeqCst));
        assert_eq!(woken(), [1, 0, 0, 1]);
        waiters.wait(&mut seats[1], &two);
        waiters.leave(&seats[0]);
        waiters.take().for_each(Waker::wake);
        assert_eq!(woken(), [1, 1, 0, 1], "a seat of an earlier round is nobody's");
    }
}
