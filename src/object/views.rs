//! Which views of objects are kept: those that were read last, up to a number.
//!
//! A view takes about as much memory as the JSON that it was read from, and parsing it takes microseconds.
//! So a small cluster keeps all of them and a large one those that its loops keep coming back to: the
//! oldest is let go unless it was read since it last was the oldest (second chance).

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Of a pod about two kilobytes each.
const KEPT_MAX: usize = 16 << 10;
/// How many get a second chance before one has to go in any case.
const CHANCES: usize = 8;

/// Fewer whose objects are gone are not worth a search for them.
const GONE_MIN: usize = KEPT_MAX / 32;

static KEPT: Mutex<VecDeque<Weak<Held>>> = Mutex::new(VecDeque::new());
/// Of those, about how many have no object any more. Each still takes its place in memory.
static GONE: AtomicUsize = AtomicUsize::new(0);

type AnyView = Arc<dyn Any + Send + Sync>;

/// The view of one object, while it is kept.
#[derive(Default)]
pub(super) struct Held {
    view: Mutex<Option<AnyView>>,
    /// Since it last was the oldest.
    was_read: AtomicBool,
}

impl Held {
    /// What is kept, or what `parse` makes, which is then kept.
    pub fn get(self: &Arc<Self>, parse: impl FnOnce() -> AnyView) -> AnyView {
        if let Some(view) = &*lock(&self.view) {
            self.was_read.store(true, Ordering::Relaxed);
            return view.clone();
        }
        let view = parse();
        let is_new = lock(&self.view).replace(view.clone()).is_none();
        if is_new {
            keep(&mut lock(&KEPT), self, KEPT_MAX);
        }
        view
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let was_kept = self.view.get_mut().is_ok_and(|view| view.is_some());
        if was_kept && GONE.fetch_add(1, Ordering::Relaxed) >= GONE_MIN {
            // Who is at it drops one, or keeps one: the next who is dropped looks again.
            if let Ok(mut kept) = KEPT.try_lock() {
                forget(&mut kept, &GONE);
            }
        }
    }
}

/// Lets go of those whose objects are gone, once they are half of all.
fn forget(kept: &mut VecDeque<Weak<Held>>, gone: &AtomicUsize) {
    if 2 * gone.load(Ordering::Relaxed) >= kept.len() {
        gone.store(0, Ordering::Relaxed);
        kept.retain(|held| held.strong_count() > 0);
        kept.shrink_to(2 * kept.len());
    }
}

/// Takes in one more and lets the oldest go where there are more than `max`.
fn keep(kept: &mut VecDeque<Weak<Held>>, held: &Arc<Held>, max: usize) {
    kept.push_back(Arc::downgrade(held));
    let mut chances = CHANCES;
    while kept.len() > max {
        let Some(oldest) = kept.pop_front().and_then(|held| held.upgrade()) else { continue };
        if chances > 0 && oldest.was_read.swap(false, Ordering::Relaxed) {
            chances -= 1;
            kept.push_back(Arc::downgrade(&oldest));
        } else {
            *lock(&oldest.view) = None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(text: &'static str) -> Arc<Held> {
        Arc::new(Held { view: Mutex::new(Some(Arc::new(text))), was_read: AtomicBool::new(false) })
    }

    fn is_kept(held: &Held) -> bool {
        lock(&held.view).is_some()
    }

    #[test]
    fn what_was_read_stays_and_the_oldest_of_the_others_goes() {
        let mut kept = VecDeque::new();
        let views = ["a", "b", "c", "d"].map(held);
        views[..3].iter().for_each(|view| keep(&mut kept, view, 3));
        views[0].get(|| unreachable!("it is kept"));
        keep(&mut kept, &views[3], 3);
        assert_eq!(views.each_ref().map(|view| is_kept(view)), [true, false, true, true]);
        ["e", "f", "g"].map(held).iter().for_each(|view| keep(&mut kept, view, 3));
        assert!(!is_kept(&views[0]), "read once, long ago");
        assert_eq!(*views[0].get(|| Arc::new("again")).downcast::<&str>().unwrap(), "again");
    }

    #[test]
    fn those_of_gone_objects_go_once_they_are_half() {
        let views: Vec<_> = (0..8).map(|_| held("")).collect();
        let mut kept: VecDeque<_> = views.iter().map(Arc::downgrade).collect();
        let gone = AtomicUsize::new(3);
        let rest = views[3..].to_vec();
        drop(views);
        forget(&mut kept, &gone);
        assert_eq!(kept.len(), 8, "not worth it yet");
        gone.store(4, Ordering::Relaxed);
        forget(&mut kept, &gone);
        assert_eq!((kept.len(), gone.into_inner()), (5, 0));
        assert!(rest.iter().all(|view| is_kept(view)));
    }

    #[test]
    fn one_goes_even_where_all_were_read_and_none_lingers_without_its_object() {
        let mut kept = VecDeque::new();
        let views: Vec<_> = (0..2 * CHANCES).map(|_| held("")).collect();
        views.iter().for_each(|view| {
            view.was_read.store(true, Ordering::Relaxed);
            keep(&mut kept, view, views.len());
        });
        keep(&mut kept, &held("one more"), views.len());
        assert_eq!(views.iter().filter(|view| is_kept(view)).count(), views.len() - 1);
        assert_eq!(kept.len(), views.len());
    }
}
