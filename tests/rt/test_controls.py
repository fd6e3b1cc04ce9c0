from __future__ import annotations

from rt.controls import Controls


def test_styles_are_chosen_by_number_and_a_missing_one_is_said() -> None:
    controls = Controls(["winter", "monet"], "winter")
    controls.select(2)
    assert (controls.style, controls.take_notes()) == ("monet", [])
    for number in (0, 3):
        controls.select(number)
    assert controls.style == "monet"
    assert controls.take_notes() == [
        "there is no style 0: 2 can be chosen",
        "there is no style 3: 2 can be chosen",
    ]
    assert controls.take_notes() == []


def test_strength_goes_in_tenths_and_stays_within_nought_and_one() -> None:
    controls = Controls(strength=0.85)
    seen = []
    for steps in (1, 1, -1, -20):
        controls.change_strength(steps)
        seen.append(controls.strength)
    assert seen == [0.95, 1.0, 0.9, 0.0]


def test_switches_turn_over() -> None:
    controls = Controls(compare=True)
    controls.toggle_compare()
    controls.toggle_recording()
    assert (controls.compare, controls.recording) == (False, True)


def test_notes_that_nobody_takes_do_not_grow_without_bounds() -> None:
    controls = Controls()
    for number in range(1000):
        controls.note(str(number))
    assert controls.take_notes() == [str(number) for number in range(900, 1000)]
