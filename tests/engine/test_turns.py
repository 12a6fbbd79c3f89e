"""Who computes takes a turn, first come, first served, and gives it up while waiting for something else."""

import threading

from engine import turns
from engine.turns import Turns


def waiting(at: Turns, count: int) -> None:
    while len(at._waiting) < count:
        pass


def test_turns_are_given_in_the_order_in_which_they_were_asked_for():
    at, order = Turns(1), []

    def work(name: int) -> None:
        at.take()
        order.append(name)
        at.give()

    at.take()
    threads = [threading.Thread(target=work, args=(name,)) for name in range(5)]
    for number, thread in enumerate(threads, 1):
        thread.start()
        waiting(at, number)
    assert order == []
    at.give()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_as_many_as_there_are_turns_compute_at_once():
    at, both = Turns(2), threading.Barrier(2)

    def work() -> None:
        at.take()
        both.wait(10)  # reached only by two at once
        at.give()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not both.broken


def test_who_waits_for_something_else_lets_others_compute_and_goes_on_after_them():
    at, done = Turns(1), threading.Event()

    def other() -> None:
        at.take()
        done.set()
        at.give()

    at.take()
    thread = threading.Thread(target=other)
    thread.start()
    with turns.aside():
        assert done.wait(10)
    assert at._free == 0
    at.give()
    at.give()  # there is none left to give
    thread.join()
    assert at._free == 1


def test_without_a_turn_there_is_none_to_give_up():
    with turns.aside():
        pass
    at = Turns(1)
    at.give()
    assert at._free == 1
