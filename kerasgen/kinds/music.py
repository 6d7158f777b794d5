"""Music, as text: a character a voice and sixteenth note, a line a step."""

from collections.abc import Iterator, Sequence

from kerasgen.extras import need
from kerasgen.files import atomic
from kerasgen.kinds.text import Text

LOWEST = 36  # MIDI note of "!"; a rest is " "
TICKS = 120  # of 480 a quarter: a sixteenth


class Music(Text):
    """Written as text, or the first piece as MIDI."""

    key = "frames"
    suffixes = (*Text.suffixes, ".mid")

    def write(self, path, samples):
        if path.suffix != ".mid":
            super().write(path, samples)
            return
        with atomic(path) as temporary:
            midi(samples[0]).save(temporary)

    def units(self, texts):
        """By steps too, which papers call frames."""
        return {"frame": sum(text.count("\n") for text in texts)}


def text(piece: Sequence[Sequence[int]]) -> str:
    """Steps of MIDI notes -> text: each step is its notes, low to high, and a "\\n"."""
    return "".join("".join(map(_character, sorted(step))) + "\n" for step in piece)


def in_all_keys(pieces: Sequence) -> Iterator[list[list[int]]]:
    """Every piece, transposed by -5 … 6 semitones as far as the range of all allows."""
    heard = [note for piece in pieces for step in piece for note in step]
    low, high = min(heard), max(heard)
    for piece in pieces:
        notes = [note for step in piece for note in step]
        for shift in range(-5, 7):
            if low <= min(notes) + shift and max(notes) + shift <= high:
                yield [[note + shift for note in step] for step in piece]


def steps(text: str) -> list[list[int]]:
    """Text -> steps of MIDI notes."""
    return [[ord(c) - 33 + LOWEST for c in line] for line in text.splitlines()]


def midi(text: str):
    """Text as music: a `mido.MidiFile` in which repeated notes are held."""
    need("music")
    import mido

    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(80)))
    sounding, waited = set(), 0
    for step in [*steps(text), []]:
        notes = {note for note in step if 0 <= note < 128}
        for kind, changed in (
            ("note_off", sounding - notes),
            ("note_on", notes - sounding),
        ):
            for note in sorted(changed):
                track.append(mido.Message(kind, note=note, velocity=72, time=waited))
                waited = 0
        sounding, waited = notes, waited + TICKS
    return file


def _character(note: int) -> str:
    return chr(int(note) - LOWEST + 33)
