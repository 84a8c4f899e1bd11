"""Host names of instances, and the addresses they are known under."""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.balance.instance import Identity, Instance
from lbconsul.consul.instance_addresses import (
    FIRST_RETRY,
    LONGEST_PATIENCE,
    LONGEST_RETRY,
    MAX_AGE,
    PATIENCE,
    InstanceAddresses,
)
from tests.support.fake_resolver import FakeResolver


def instance(host: str, service_id: str = "web-1") -> Instance:
    """An instance as the catalog gives it: IP addresses are addresses."""
    address = host if host[0].isdigit() else ""
    return Instance(Identity("dc1", "n1", service_id), host, 80, address)


class NamesTests(SynchronousTestCase):
    """Names are looked up without blocking, and again from time to time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.resolver = FakeResolver()
        self.changes = 0
        self.chance = 1.0
        self.usable = False
        self.names = InstanceAddresses(
            self.clock,
            self.resolver,
            self.changed,
            lambda: self.chance,
            lambda: self.usable,
        )
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(lambda: self.names.stop())

    def changed(self) -> None:
        self.changes += 1

    def addresses(self, *instances: Instance) -> list[str]:
        """What the instances are connected to now."""
        return [each.address for each in self.names.addressed(instances)]

    def test_ip_addresses_pass_at_once(self) -> None:
        """
        An instance with an IP address is used at once, without a look-up or a timer.
        """
        self.assertEqual(self.addresses(instance("10.0.0.1")), ["10.0.0.1"])
        self.assertEqual(self.resolver.asked, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_name_is_waited_for_by_nobody(self) -> None:
        """
        While a name is looked up the other instances are already used; its address is
        reported once known.
        """
        both = instance("a.example"), instance("10.0.0.1", "web-2")
        self.assertEqual(self.addresses(*both), ["10.0.0.1"])
        self.assertEqual(self.changes, 0)
        self.resolver.answer("a.example", "10.0.0.9")
        self.assertEqual(self.changes, 1)
        self.assertEqual(self.addresses(*both), ["10.0.0.9", "10.0.0.1"])

    def test_a_name_is_asked_once_for_all(self) -> None:
        """
        Many instances under one name are one look-up, and a new answer of
        Consul's does not look a known name up again.
        """
        both = instance("a.example"), instance("a.example", "web-2")
        self.addresses(*both)
        self.addresses(*both)
        self.resolver.answer("a.example", "10.0.0.9")
        self.assertEqual(self.addresses(*both), ["10.0.0.9", "10.0.0.9"])
        self.assertEqual(self.resolver.asked, ["a.example"])

    def test_the_instance_keeps_its_name(self) -> None:
        """An instance is shown under the host name of its registration."""
        self.resolver.known["a.example"] = "10.0.0.9"
        [known] = self.names.addressed([instance("a.example")])
        self.assertEqual(known.host, "a.example")

    def test_names_are_looked_up_again_with_age(self) -> None:
        """
        Each name is looked up again every half minute; only a new address is reported.
        """
        self.addresses(instance("a.example"))
        self.resolver.answer("a.example", "10.0.0.9")
        self.clock.pump([1.0] * 29)
        self.assertEqual(len(self.resolver.asked), 1)
        self.clock.pump([1.0] * 2)
        self.resolver.answer("a.example", "10.0.0.9")
        self.assertEqual((len(self.resolver.asked), self.changes), (2, 1))
        self.clock.advance(MAX_AGE)
        self.resolver.answer("a.example", "10.0.0.10")
        self.assertEqual((len(self.resolver.asked), self.changes), (3, 2))
        self.assertEqual(self.addresses(instance("a.example")), ["10.0.0.10"])

    def test_a_failing_refresh_keeps_the_last_address(self) -> None:
        """
        A failing DNS server takes no instance out of service, and is logged once per
        outage.
        """
        self.addresses(instance("a.example"))
        self.resolver.answer("a.example", "10.0.0.9")
        with capturedLogs() as said:
            for _ in range(3):
                self.clock.advance(2 * MAX_AGE)
                self.resolver.answer("a.example")
        self.assertEqual(self.addresses(instance("a.example")), ["10.0.0.9"])
        self.assertEqual(self.changes, 1)
        self.assertEqual(
            [formatEvent(each) for each in said],
            ["the host name a.example cannot be resolved"],
        )

    def test_what_a_predecessor_knew(self) -> None:
        """
        Its addresses are used at once; the name is looked up, and waited for, as any
        other, and they stay if that fails.
        """
        self.names._inherited = {"a.example": ("10.0.0.9", "10.0.0.8")}
        both = instance("a.example"), instance("b.example", "web-2")
        self.assertEqual(self.addresses(*both), ["10.0.0.9"])
        self.assertEqual(self.resolver.asked, ["a.example", "b.example"])
        self.assertTrue(self.names.pending)
        self.resolver.answer("a.example")
        self.resolver.answer("b.example")
        self.assertFalse(self.names.pending)
        self.assertEqual(self.addresses(*both), ["10.0.0.9"])
        self.assertEqual(self.names.known, {"a.example": ("10.0.0.9", "10.0.0.8")})
        self.clock.advance(FIRST_RETRY)
        self.resolver.answer("a.example", "10.0.0.7")
        self.assertEqual(self.addresses(*both), ["10.0.0.7"])

    def test_a_name_that_fails_again_is_said_again(self) -> None:
        """A name that recovered and fails again is logged again."""
        self.addresses(instance("a.example"))
        with capturedLogs() as said:
            for addresses in ((), ("10.0.0.9",), ()):
                self.resolver.answer("a.example", *addresses)
                self.clock.advance(2 * MAX_AGE)
        self.assertEqual(len(said), 2)

    def test_a_name_that_returns_unknown_is_said_again(self) -> None:
        """A name that left, returns and does not resolve either is logged."""
        with capturedLogs() as said:
            for _ in range(2):
                self.addresses(instance("a.example"))
                self.resolver.answer("a.example")
                self.addresses()
        self.assertEqual(len(said), 2)

    def test_an_unknown_name_stands_in_nobody_s_way(self) -> None:
        """
        An instance whose name does not resolve is left out, the others work,
        and it joins when the name resolves at last.
        """
        both = instance("a.example"), instance("10.0.0.1", "web-2")
        self.addresses(*both)
        self.resolver.answer("a.example")
        self.assertEqual(self.changes, 1)
        self.assertEqual(self.addresses(*both), ["10.0.0.1"])
        self.clock.advance(MAX_AGE)
        self.resolver.answer("a.example", "10.0.0.9")
        self.assertEqual(self.changes, 2)
        self.assertEqual(self.addresses(*both), ["10.0.0.9", "10.0.0.1"])

    def test_a_name_that_would_break_the_log(self) -> None:
        """A registered host name cannot add a line to the log."""
        with capturedLogs() as said:
            self.addresses(instance("a\nb\x1b[2J.example"))
        [line] = [str(formatEvent(each)) for each in said]
        self.assertTrue(line.isprintable())
        self.assertIn("b\\x1b[2J.example", line)

    def test_the_address_in_use_stays_while_it_is_valid(self) -> None:
        """
        DNS servers rotate the addresses of a name; as long as ours is among
        them we stay with it, and when it is not the first one follows.
        """
        self.addresses(instance("a.example"))
        self.resolver.answer("a.example", "10.0.0.1", "10.0.0.2")
        self.clock.advance(MAX_AGE)
        self.resolver.answer("a.example", "10.0.0.2", "10.0.0.1")
        self.assertEqual(self.changes, 1)
        self.assertEqual(self.addresses(instance("a.example")), ["10.0.0.1"])
        self.clock.advance(MAX_AGE)
        self.resolver.answer("a.example", "10.0.0.3", "10.0.0.2")
        self.assertEqual(self.changes, 2)
        self.assertEqual(self.addresses(instance("a.example")), ["10.0.0.3"])

    def test_names_that_left_are_forgotten(self) -> None:
        """
        A name that no instance has any more is looked up no more, and when it
        returns its old address is not trusted.
        """
        self.addresses(instance("a.example"))
        self.resolver.answer("a.example", "10.0.0.9")
        self.addresses()
        self.clock.advance(MAX_AGE)
        self.assertEqual(self.resolver.asked, ["a.example"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.addresses(instance("a.example")), [])
        self.assertEqual(self.resolver.asked, ["a.example"] * 2)

    def test_a_look_up_ends_with_its_instance(self) -> None:
        """
        A look-up is given up when its instance leaves.
        """
        self.addresses(instance("a.example"))
        self.addresses()
        self.assertFalse(self.resolver.is_asked("a.example"))
        self.assertEqual(self.changes, 0)
        self.clock.advance(MAX_AGE)

    def test_a_slow_look_up_is_not_doubled(self) -> None:
        """
        A look-up that takes longer than an address may age is waited for
        instead of being asked again.
        """
        self.addresses(instance("a.example"))
        self.clock.advance(MAX_AGE)
        self.clock.advance(MAX_AGE)
        self.assertEqual(self.resolver.asked, ["a.example"])
        told = self.changes
        self.resolver.answer("a.example", "10.0.0.9")
        self.assertEqual(self.changes, told + 1)

    def test_a_resolver_that_answers_within_the_query(self) -> None:
        """
        With a resolver that knows the answer at once there is one timer, as
        with any other, even when a name changes at each look-up.
        """

        def changed() -> None:
            self.addresses(instance("a.example"))

        self.names = InstanceAddresses(self.clock, self.resolver, changed)
        for number in range(5):
            self.resolver.known["a.example"] = f"10.0.0.{number}"
            self.addresses(instance("a.example"))
            self.clock.advance(MAX_AGE)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_after_a_stop_nothing_is_looked_up(self) -> None:
        """
        A stop leaves no timer; what was being looked up is of no interest; a
        second stop is no harm.
        """
        self.addresses(instance("a.example"))
        self.names.stop()
        self.names.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.resolver.is_asked("a.example"))
        self.assertEqual(self.changes, 0)

    def test_names_after_a_stop_are_looked_up_anew(self) -> None:
        """
        After a restart addresses are looked up again, and until then the old ones
        serve.
        """
        self.addresses(instance("a.example"))
        self.resolver.answer("a.example", "10.0.0.9")
        self.names.stop()
        self.assertEqual(self.addresses(instance("a.example")), ["10.0.0.9"])
        self.assertEqual(self.resolver.asked, ["a.example"] * 2)

    def test_addresses_that_lead_nowhere(self) -> None:
        """
        DNS answers that block a name are no addresses, nor are those that no
        registration may have; an IPv4-mapped address counts as IPv4.
        """
        names = self.names.addressed([instance("a.example")])
        self.assertEqual(names, [])
        self.resolver.answer("a.example", "0.0.0.0", "::", "::ffff:10.0.0.1", "fe80::1")
        [found] = self.names.addressed([instance("a.example")])
        self.assertEqual(found.addresses, ("10.0.0.1",))

    def test_others_to_try(self) -> None:
        """An instance has all addresses of its name, the one in use first."""
        self.addresses(instance("a.example"))
        self.resolver.answer("a.example", "::1", "127.0.0.1", "10.0.0.1")
        [known] = self.names.addressed([instance("a.example")])
        self.assertEqual(known.addresses, ("::1", "127.0.0.1", "10.0.0.1"))
        self.clock.advance(MAX_AGE)
        self.resolver.answer("a.example", "10.0.0.2", "10.0.0.1", "::1")
        [known] = self.names.addressed([instance("a.example")])
        self.assertEqual(known.addresses, ("::1", "10.0.0.2", "10.0.0.1"))
        self.assertEqual(instance("b.example").addresses, ())

    def test_dead_names_are_asked_less_and_less(self) -> None:
        """A name without an address is tried again soon, and then ever more rarely."""
        self.addresses(instance("a.example"))
        waits = []
        for _ in range(9):
            begun = self.clock.seconds()
            self.resolver.answer("a.example")
            while not self.resolver.is_asked("a.example"):
                self.clock.advance(0.25)
            waits.append(self.clock.seconds() - begun)
        self.assertLessEqual(waits[0], FIRST_RETRY + 1.0)
        self.assertEqual(waits, sorted(waits))
        self.assertLessEqual(LONGEST_RETRY, waits[-1])
        self.assertLessEqual(waits[-1], LONGEST_RETRY + 1.0)

    def test_retries_are_spread(self) -> None:
        """By chance one comes earlier, so that not all names are asked at once."""
        self.chance = 0.0
        self.addresses(instance("a.example"))
        for _ in range(9):
            self.resolver.answer("a.example")
            self.clock.advance(LONGEST_RETRY / 2 + 1.0)
            self.assertTrue(self.resolver.is_asked("a.example"))

    def test_a_name_that_had_addresses_is_asked_again_within_their_age(self) -> None:
        """However often it failed."""
        self.addresses(instance("a.example"))
        self.resolver.answer("a.example", "10.0.0.1")
        for _ in range(9):
            self.clock.advance(MAX_AGE + 1.0)
            self.resolver.answer("a.example")
        self.clock.advance(MAX_AGE + 1.0)
        self.assertTrue(self.resolver.is_asked("a.example"))

    def test_what_comes_together_is_one_change(self) -> None:
        """Many names found at about the same time are one report."""
        many = [instance(f"h{n}.example", f"web-{n}") for n in range(100)]
        self.addresses(*many)
        for n in range(100):
            self.resolver.answer(f"h{n}.example", "10.0.0.1")
        self.assertLessEqual(self.changes, 1)
        self.clock.advance(0.1)
        self.assertLessEqual(1, self.changes)
        self.assertLessEqual(self.changes, 2)
        self.assertEqual(len(self.addresses(*many)), 100)

    def test_thousands_of_names(self) -> None:
        """Names are looked up in slices, so that connections have their turn."""
        many = [instance(f"h{n}.example", f"web-{n}") for n in range(5000)]
        self.addresses(*many)
        self.assertEqual(len(self.resolver.asked), 200)
        self.clock.advance(0)
        self.assertEqual(len(set(self.resolver.asked)), len(many))

    def test_thousands_of_names_that_are_known_at_once(self) -> None:
        """Names that did not fit into one turn are reported a little later."""
        many = [instance(f"h{n}.example", f"web-{n}") for n in range(300)]
        self.resolver.known = {each.host: "10.0.0.1" for each in many}
        self.assertLess(len(self.addresses(*many)), len(many))
        self.clock.advance(0)
        self.clock.advance(0.1)
        self.assertEqual(self.changes, 1)
        self.assertEqual(len(self.addresses(*many)), len(many))

    def test_many_dead_names_are_one_line(self) -> None:
        """The log names some of them, and says how many there are."""
        many = [instance(f"h{n}.example", f"web-{n}") for n in range(60)]
        with capturedLogs() as said:
            self.addresses(*many)
            for n in range(60):
                self.resolver.answer(f"h{n}.example")
            self.clock.advance(0.1)
        [*_, line] = [str(formatEvent(each)) for each in said]
        self.assertLessEqual(len(said), 2)
        self.assertRegex(
            line, r"^\d+ host names cannot be resolved: h0\.example, .*\.\.\.$"
        )

    def pending_after(self, *steps: float) -> bool:
        """Whether an answer is still pending after so many seconds."""
        self.clock.pump(steps)
        return self.names.pending

    def test_nothing_is_pending_without_names(self) -> None:
        """IP addresses are known at once, and so is a cached name."""
        self.resolver.known["a.example"] = "10.0.0.9"
        self.addresses(instance("10.0.0.1"), instance("a.example", "web-2"))
        self.assertFalse(self.names.pending)
        self.assertEqual(self.changes, 0)

    def test_pending_until_each_is_found_or_not(self) -> None:
        """An answer is complete once no look-up is pending."""
        self.addresses(instance("a.example"), instance("b.example", "web-2"))
        self.assertTrue(self.names.pending)
        self.resolver.answer("a.example", "10.0.0.9")
        self.assertTrue(self.names.pending)
        self.resolver.answer("b.example")
        self.assertFalse(self.names.pending)
        self.clock.advance(0.1)
        self.assertEqual(self.changes, 1)

    def test_dead_names_are_not_waited_for(self) -> None:
        """Where other instances can serve, a silent name is waited for shortly."""
        self.usable = True
        self.addresses(instance("10.0.0.1"), instance("dead.example", "web-2"))
        self.assertTrue(self.pending_after(PATIENCE / 2))
        self.assertFalse(self.pending_after(PATIENCE / 2))
        self.clock.advance(0.25)
        self.assertEqual(self.changes, 1)
        self.resolver.answer("dead.example")
        self.assertEqual(self.changes, 1)

    def test_only_dead_names(self) -> None:
        """
        Where no other instance can serve, names are waited for longer, but not for
        ever.
        """
        self.addresses(instance("dead.example"))
        self.assertTrue(self.pending_after(*[0.5] * 19))
        self.assertEqual(self.changes, 0)
        self.assertFalse(self.pending_after(LONGEST_PATIENCE - 9.5))
        self.clock.advance(0.25)
        self.assertEqual(self.changes, 1)

    def test_others_that_can_serve_by_and_by(self) -> None:
        """Once the first one is found the others are not waited for any longer."""
        self.addresses(instance("dead.example"), instance("slow.example", "web-2"))
        self.assertTrue(self.pending_after(2.0))
        self.resolver.answer("slow.example", "10.0.0.1")
        self.clock.advance(0.1)
        self.assertEqual(self.changes, 1)
        self.addresses(instance("dead.example"), instance("slow.example", "web-2"))
        self.usable = True
        self.clock.advance(0.25)
        self.assertEqual(self.changes, 2)
        self.assertFalse(self.names.pending)
