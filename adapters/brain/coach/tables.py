"""What the coach can say: wordings of facts, and remedies.

Data only. A wording is a template: ``{place}`` is a place in words ("in the second half"), the
others are filled in by :mod:`.coach`. A template is only used where everything it names
was measured.

Manner: fourteen words on average, one fact at a time, nobody is scolded. Praise is specific. A
remedy is an action.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from maestra.core.performance.observations import ObservationKind as Kind

__all__ = [
    "BESIDE_THE_BEAT",
    "DIFFERING",
    "FAULTS",
    "MEANINGS",
    "NEXT_STEPS",
    "PLAIN_PRAISE",
    "PRAISE",
    "REASONS",
    "REMEDIES",
    "SAYINGS",
    "STATEMENTS",
    "Remedy",
]


@frozen
class Remedy:
    """One concrete exercise. ``name`` tells it from every other."""

    name: str
    text: str


PRAISE: Mapping[Kind, tuple[str, ...]] = {
    Kind.STEADY_TEMPO: (
        "Your tempo was nice and steady.",
        "You kept a lovely steady pulse.",
        "Good, the beat stayed steady all the way.",
        "Well held: your tempo never ran away.",
    ),
    Kind.EVEN_RHYTHM: (
        "Your short notes were beautifully even.",
        "Nice even rhythm in the quick notes.",
        "The quick notes ran very evenly.",
    ),
    Kind.FLUENT: (
        "You played it through without a stop.",
        "Good, it flowed from start to finish.",
        "Nicely fluent, you kept going throughout.",
    ),
    Kind.IN_TUNE: (
        "Your intonation was lovely.",
        "That was well in tune.",
        "Your ear is working well: nicely in tune.",
    ),
    Kind.LEGATO: (
        "The notes were nicely joined.",
        "You have a lovely smooth line.",
        "Good legato, the line really sings.",
    ),
    Kind.SHAPED_DYNAMICS: (
        "I liked how the music grew and settled.",
        "Good shape: it swelled and came back.",
        "Lovely rise and fall in the loudness.",
    ),
    Kind.GOOD_BALANCE: (
        "The melody sang out over the low notes.",
        "Good balance, the tune was always on top.",
        "Nicely balanced, the top line led.",
    ),
    Kind.SHAPED_ENDING: (
        "I liked how you took time at the end.",
        "The ending was beautifully unhurried.",
        "Lovely ending, you let it slow and settle.",
    ),
    Kind.IMPROVED: (
        "That was better than the last time.",
        "Well done, you fixed what we heard before.",
        "I hear progress since the last try.",
    ),
    Kind.PERSEVERED: (
        "Well done for picking it up again.",
        "Good, you found your way back and carried on.",
        "I like that you kept going after the stop.",
    ),
}

PLAIN_PRAISE: tuple[str, ...] = (
    "Thank you, I enjoyed listening to that.",
    "Good, thank you for playing that for me.",
    "Nice, I heard you concentrate.",
    "Thank you, there is good work in there.",
)

FAULTS: Mapping[Kind, tuple[str, ...]] = {
    Kind.RUSHING: (
        "{Place} you sped up, from {first} to {last} beats a minute.",
        "The tempo crept up {place}, from {first} to {last} beats a minute.",
        "You rushed a little {place}: {first} beats a minute became {last}.",
    ),
    Kind.DRAGGING: (
        "{Place} you slowed down, from {first} to {last} beats a minute.",
        "The tempo sagged {place}, from {first} to {last} beats a minute.",
        "It lost speed {place}: {first} beats a minute became {last}.",
    ),
    Kind.UNSTEADY_TEMPO: (
        "The tempo is unsteady, it pushes and pulls {place} around {tempo} beats a minute.",
        "The beat wasn't steady yet, it came and went {place} around {tempo}.",
        "Your tempo wavered {place}, faster and slower around {tempo} beats a minute.",
    ),
    Kind.UNEVEN_RHYTHM: (
        "The short notes were uneven {place}: the first of two took {share} percent, not half.",
        "Listen to the pairs of quick notes: {place} the first took {share} percent, not half.",
        "The rhythm was uneven {place}: pairs came out {order}, {share} percent for the first.",
    ),
    Kind.HESITATION: (
        "There was a pause {place}: the music stood still for {gap}, then went on.",
        "You hesitated {place}, the beat stopped for {gap}.",
        "{Place} you waited {gap} before going on, and the pulse got lost.",
    ),
    Kind.MISSED_NOTES: (
        "Some notes were missing {place}, about {since} in, though the beat went on.",
        "{Place}, about {since} in, I think you left out a note.",
        "I missed a note or two {place}, the rhythm had a gap about {since} in.",
    ),
    Kind.WRONG_NOTES: (
        "There was a wrong note {place}, about {since} in: {note} doesn't belong to {key}.",
        "{Place}, about {since} in, I heard {note}, which doesn't fit in {key}.",
        "Some notes sounded wrong: {place}, about {since} in, {note} isn't in {key}.",
    ),
    Kind.REPEATED_TRIES: (
        "You stopped and went back {times}, first {place}.",
        "{Place} you began to try the same notes again: you went back {times}.",
        "You went back {times} to try again, first {place}, so that isn't safe yet.",
    ),
    Kind.SHARP: (
        "Everything was a little sharp {place}, {part}.",
        "Your pitch sat a bit too high {place}: all of it sharp, {part}.",
        "{Place} it was sharp by the same amount, {part}.",
    ),
    Kind.FLAT: (
        "Everything was a little flat {place}, {part}.",
        "Your pitch sat a bit too low {place}: all of it flat, {part}.",
        "{Place} it was flat by the same amount, {part}.",
    ),
    Kind.NOTE_OUT_OF_TUNE: (
        "One note is out of tune: your {note} is {direction} {place}, {part}.",
        "Listen to your {note}: {place} it is {direction}, {part}.",
        "Only the {note} is off, it is {direction} {place}, {part}.",
    ),
    Kind.UNSTABLE_PITCH: (
        "The pitch wandered {place}: the same note moved up and down by {wander}.",
        "{Place} your notes hadn't found one home yet, each moved by {wander}.",
        "The tuning varied {place}, the same note was higher or lower by {wander}.",
    ),
    Kind.CHOPPY: (
        "{Place} the notes were apart: they sounded for only {held} percent of their time.",
        "There was air between the notes {place}, they filled just {held} percent of their time.",
        "The melody came in pieces {place}: each note was let go after {held} percent of its time.",
    ),
    Kind.FLAT_DYNAMICS: (
        "{Place} it stayed at one level, soft and loud were only {range} apart.",
        "The loudness hardly changed {place}, by {range} in all.",
        "I didn't hear louder and softer {place} yet, only {range} of difference.",
    ),
    Kind.STICKING_OUT: (
        "One note jumped out {place}, {decibels} louder than its neighbours.",
        "{Place} a single note stuck out of the line, by {decibels}.",
        "There was an accent {place} that broke the line, {decibels} above the rest.",
    ),
    Kind.LOW_VOICE_TOO_LOUD: (
        "The low notes covered the tune {place}, they were {decibels} louder.",
        "Your left hand was a bit heavy {place}: {decibels} louder than the melody.",
        "{Place} the accompaniment sat on top of the melody, by {decibels}.",
    ),
}

DIFFERING: tuple[str, ...] = (
    "There may be a wrong note {place}, about {since} in: {note} wasn't there the other time.",
    "{Place}, about {since} in, I heard {note}, where the same line had another note.",
    "One note came out differently {place}, about {since} in: {note}, so check which is right.",
)
BESIDE_THE_BEAT: tuple[str, ...] = (
    "The rhythm was uneven {place}, {ragged} percent of the notes fell beside the beat.",
    "{Place} {ragged} percent of your notes didn't meet the beat, so it sounded uneven.",
    "I often lost the beat {place}, {ragged} percent of the notes fell before or after it.",
)

REMEDIES: Mapping[Kind, tuple[Remedy, ...]] = {
    Kind.RUSHING: (
        Remedy("metronome_down", "Set a metronome to {practice} and play it through twice."),
        Remedy("count_aloud", "Count the beats aloud while you play, especially there."),
        Remedy("tap_foot", "Tap your foot through that passage, and let the foot lead."),
        Remedy("long_notes_full", "Hold every long note to its very end before you move on."),
    ),
    Kind.DRAGGING: (
        Remedy("metronome_at_start", "Practise with a metronome at {first}, and don't let it go."),
        Remedy("look_ahead", "Read one bar ahead, so that your hands never have to wait."),
        Remedy("conduct", "Sing it while you conduct, then play with that same energy."),
        Remedy("slow_spot", "Find the hardest bar there and practise it alone until it is easy."),
    ),
    Kind.UNSTEADY_TEMPO: (
        Remedy("walk", "Walk in time around the room and sing the tune, then play it like that."),
        Remedy("metronome_slow", "Play it with a metronome at {practice}, then once without."),
        Remedy("every_second_click", "Let the metronome click on every second beat only."),
        Remedy("clap_pulse", "Clap the pulse for two bars before you begin, and keep it inside."),
    ),
    Kind.UNEVEN_RHYTHM: (
        Remedy("reverse_rhythm", "Play the pairs the other way round, short then long, then even."),
        Remedy("subdivide", "Say 'one and two and' aloud and put each note on its word."),
        Remedy("slow_even", "Play only the quick notes, slowly at {practice}, each the same."),
        Remedy("one_pitch", "Play that rhythm on a single note until it is even."),
        Remedy("accent_second", "Lean a little on the second note of each pair, five times."),
    ),
    Kind.HESITATION: (
        Remedy("over_the_join", "Play the bar before and the bar after the stop, over and over."),
        Remedy("slow_no_stop", "Play it at {practice}, slow enough that you needn't stop there."),
        Remedy("next_hand_ready", "Get your hand ready for the next notes while the last rings."),
        Remedy("keep_counting", "Keep counting aloud through that spot, whatever your hands do."),
        Remedy("from_the_stop", "Begin a few times exactly at the place where you stopped."),
    ),
    Kind.MISSED_NOTES: (
        Remedy("slow_all_notes", "Play that line slowly, at {practice}, and name every note."),
        Remedy("sing_line", "Sing the line first, then play it and listen for each note."),
        Remedy("press_deeper", "Play that spot a little firmer, so that every note speaks."),
        Remedy("one_bar_at_a_time", "Take it one bar at a time, and stop after each to check."),
    ),
    Kind.WRONG_NOTES: (
        Remedy("check_score", "Look at that spot in your music and check each sharp and flat."),
        Remedy("scale_first", "Play the scale of the key once, then that line again."),
        Remedy("name_aloud", "Say the note names aloud there, at half your speed."),
        Remedy("mark_it", "Mark the note with a pencil, and play that bar five times right."),
    ),
    Kind.REPEATED_TRIES: (
        Remedy("no_going_back", "Play it through once without going back, whatever happens."),
        Remedy("small_piece", "Take just those notes slowly, and add one note each time."),
        Remedy("three_right", "Play that spot right three times in a row before you go on."),
    ),
    Kind.SHARP: (
        Remedy("tuner_down", "Tune again before you start, then check the first long note."),
        Remedy("relax", "Relax and play long soft notes against a drone, settling down on it."),
        Remedy("sing_then_play", "Sing the first note, listen, and match it before you play on."),
    ),
    Kind.FLAT: (
        Remedy("tuner_up", "Tune again before you start, you may simply be tuned low."),
        Remedy("more_support", "Play long notes against a drone, and bring each one up to it."),
        Remedy("think_high", "Hear each note in your head before you play it, a little brighter."),
    ),
    Kind.NOTE_OUT_OF_TUNE: (
        Remedy("drone_note", "Play your {note} as a long note against a drone until it locks."),
        Remedy("approach_note", "Play from the note below up to {note}, slowly, and listen."),
        Remedy("octave_check", "Compare your {note} with an open string, a piano or a tuner."),
    ),
    Kind.UNSTABLE_PITCH: (
        Remedy("long_tones", "Begin each day with long tones, each one still and straight."),
        Remedy("drone_scale", "Play a slow scale over a drone and wait for each note to settle."),
        Remedy("sing_intervals", "Sing each interval before you play it."),
    ),
    Kind.CHOPPY: (
        Remedy("touch_next", "Hold each note until the next one has begun."),
        Remedy("one_breath", "Play four notes in one bow or one breath."),
        Remedy("slur_pairs", "Slur the notes in pairs, then in fours."),
    ),
    Kind.FLAT_DYNAMICS: (
        Remedy("grow_and_fade", "Play the first line growing to its middle, then fading again."),
        Remedy("echo", "Play each phrase twice, first loud, then like an echo."),
        Remedy("exaggerate", "Overdo it once: the loud as loud and the soft as soft as you can."),
    ),
    Kind.STICKING_OUT: (
        Remedy("prepare_loud", "Play into that note gently, as if it were the end of a sigh."),
        Remedy("same_weight", "Play that bar with the same weight on each note, three times."),
        Remedy("record_bar", "Play the bar softly as a whole, and only then as it was."),
    ),
    Kind.LOW_VOICE_TOO_LOUD: (
        Remedy("ghost_left", "Play the left hand so softly that you only just hear it."),
        Remedy("melody_alone", "Play the melody alone and singing, then add the rest quietly."),
        Remedy("short_chords", "Make the left-hand chords shorter and lighter."),
    ),
}

NEXT_STEPS: tuple[Remedy, ...] = (
    Remedy("shape_phrases", "Next, let each phrase grow to its middle and relax at its end."),
    Remedy("sing_phrases", "As a next step, sing a phrase and play it just as you sang it."),
    Remedy("softer", "For fun, try it once very softly without losing the pulse."),
    Remedy("by_heart", "You could try it by heart now, with the same calm."),
    Remedy("character", "Now choose a mood for it, and let me hear that mood."),
    Remedy("breathe", "Try breathing with the phrases, a small breath before each one."),
    Remedy("record", "Record yourself and choose the line you like best."),
)

REASONS: Mapping[Kind, tuple[str, ...]] = {
    Kind.RUSHING: (
        "We often rush when a part feels easy or exciting.",
        "Excitement pushes the tempo, and long notes get cut short.",
        "The fingers run ahead when we stop counting.",
    ),
    Kind.DRAGGING: (
        "It mostly slows where the notes get harder or the breath gets short.",
        "We wait for the hard notes without noticing it.",
        "The tempo sinks when the hands think from note to note.",
    ),
    Kind.UNSTEADY_TEMPO: (
        "The pulse wavers when the hands decide and not the counting.",
        "Easy places go faster and hard places slower, unless somebody counts.",
        "Without a pulse inside, each phrase finds its own speed.",
    ),
    Kind.UNEVEN_RHYTHM: (
        "Stronger fingers linger, so pairs of notes easily start to limp.",
        "The stronger finger takes a little more time than the weaker one.",
        "Hands like to swing by themselves when nobody counts the small notes.",
    ),
    Kind.HESITATION: (
        "Mostly the eyes or the hand weren't yet ready for what comes next.",
        "We stop where the next notes aren't clear in the mind yet.",
        "A stop often comes before a jump or a new line.",
    ),
    Kind.MISSED_NOTES: (
        "Notes drop out when we move on before the finger has really played.",
        "A weak finger sometimes doesn't reach the bottom of the key.",
        "The eye skips a note when the hand is in a hurry.",
    ),
    Kind.WRONG_NOTES: (
        "Often it's a forgotten sharp or flat, or a neighbouring key.",
        "The hand lands one step beside it when the eyes are elsewhere.",
        "A sharp or flat from the beginning of the line is quickly forgotten.",
    ),
    Kind.REPEATED_TRIES: (
        "Going back becomes a habit, and the fingers learn the stop as well.",
        "We want to mend a slip at once, and so we practise stopping.",
        "The spot isn't quite safe, so the hands ask for another go.",
    ),
    Kind.SHARP: (
        "It's often tension, or an instrument that has warmed up since tuning.",
        "Pressing or blowing too hard drives the pitch up.",
        "Instruments change as they warm, so the tuning drifts upwards.",
    ),
    Kind.FLAT: (
        "It's often too little support, or an instrument that is still cold.",
        "The pitch sinks when the breath or the bow gets tired.",
        "A cold instrument sits low, and the ear gets used to it.",
    ),
    Kind.NOTE_OUT_OF_TUNE: (
        "One note that is off each time is a habit of hand or ear.",
        "The finger always lands on the same spot, a little beside the note.",
        "On many instruments some notes need a small correction.",
    ),
    Kind.UNSTABLE_PITCH: (
        "The ear has to decide first, then the hand can find the place.",
        "Without hearing the note beforehand, the hand has to guess.",
        "The hand searches when the next note isn't in the ear yet.",
    ),
    Kind.CHOPPY: (
        "It sounds choppy when each note lets go before the next one begins.",
        "We leave a note early when we are busy with the next one.",
        "A new bow, breath or finger for each note leaves a gap.",
    ),
    Kind.FLAT_DYNAMICS: (
        "While we look for notes we forget the loud and soft.",
        "Playing carefully often means playing everything alike.",
        "Loud and soft come last, when the notes need all our thought.",
    ),
    Kind.STICKING_OUT: (
        "A jump or a strong finger gives one note too much weight.",
        "The hand falls onto a note that it had to reach for.",
        "A note that we fear is often hit too hard.",
    ),
    Kind.LOW_VOICE_TOO_LOUD: (
        "The left hand plays more notes, so it must play them lighter.",
        "Low notes ring longer and fuller, so they cover the tune easily.",
        "Both hands like to play with the same weight.",
    ),
}

MEANINGS: Mapping[str, tuple[str, ...]] = {
    "legato": (
        "Legato means joined: each note lasts until the next one begins.",
        "Legato is smooth playing, without any gap between the notes.",
        "If it's legato, the notes hang together as in one breath.",
    ),
    "staccato": (
        "Staccato means short and light, with air between the notes.",
        "Staccato notes are let go early, like little drops.",
        "If it's staccato, each note is short and stands alone.",
    ),
    "tempo": (
        "Tempo is how fast the beat goes.",
        "The tempo is the speed of the music.",
        "By tempo I mean how quickly the beats follow each other.",
    ),
    "rhythm": (
        "Rhythm is how long and short notes are placed on the beat.",
        "The rhythm is the pattern of long and short notes.",
        "By rhythm I mean when each note comes, and how long it lasts.",
    ),
    "dynamics": (
        "Dynamics are the loud and the soft, and the way from one to the other.",
        "By dynamics I mean how loud and how soft you play.",
        "The dynamics are the changes of loudness in the music.",
    ),
    "intonation": (
        "Intonation is how well each note is in tune.",
        "By intonation I mean whether the notes are too high or too low.",
        "Good intonation means that each note has just the right height.",
    ),
    "ritardando": (
        "Ritardando means slowing down gradually, as at an ending.",
        "A ritardando is when the music slows down bit by bit.",
        "With a ritardando the beats come later and later, often at the close.",
    ),
    "rubato": (
        "Rubato means stretching some notes and making up for it with others.",
        "In rubato you take some time here and give it back there.",
        "Rubato is playing freely with the time, without losing the pulse.",
    ),
    "phrase": (
        "A phrase is a musical sentence, something you could sing in one breath.",
        "By a phrase I mean a group of notes that belong together.",
        "A phrase is a short stretch of melody with a beginning and an end.",
    ),
    "articulation": (
        "Articulation is how notes begin and end, joined or apart.",
        "By articulation I mean whether the notes are short or joined.",
        "The articulation is how you speak the notes, crisply or smoothly.",
    ),
    "metronome": (
        "A metronome is a click that keeps an even beat for you.",
        "A metronome ticks evenly, as fast as you set it.",
        "The metronome is a little machine or app that clicks the beat.",
    ),
    "drone": (
        "A drone is one long held note that you tune against.",
        "By a drone I mean a note that sounds on while you play.",
        "A drone is a steady note underneath, so that you hear what is in tune.",
    ),
    "crescendo": (
        "Crescendo means getting louder bit by bit.",
        "In a crescendo the sound grows little by little.",
        "A crescendo goes from softer to louder, without a jump.",
    ),
    "sharp": (
        "Sharp means a little too high.",
        "A note is sharp when it sounds higher than it should.",
        "By sharp I mean above the right pitch.",
    ),
    "flat": (
        "Flat means a little too low.",
        "A note is flat when it sounds lower than it should.",
        "By flat I mean below the right pitch.",
    ),
    "cents": (
        "Cents are hundredths of a half step, the marks on a tuner.",
        "A cent is a tiny step of pitch, the smallest mark on a tuner.",
        "Tuners measure in cents, tiny parts of a half step.",
    ),
    "pulse": (
        "The pulse is the even beat that you could tap your foot to.",
        "By pulse I mean the steady beat under the music.",
        "The pulse is what you would clap along with.",
    ),
    "subdivide": (
        "Subdividing means counting the small notes inside each beat.",
        "To subdivide is to split each beat into equal parts and count those.",
        "When you subdivide, you count the little steps between the beats.",
    ),
}

SAYINGS: Mapping[str, tuple[str, ...]] = {
    "thanks": (
        "You're welcome. Enjoy practising!",
        "My pleasure. Play again whenever you like.",
        "Gladly. I'll be listening.",
    ),
    "stop": ("Of course. I'm listening.", "All right, over to you.", "Okay, I'll be quiet."),
    "again_please": (
        "Yes, play it again, I'm listening.",
        "Go ahead, I'm all ears.",
        "Good idea. Play it, and I'll listen.",
    ),
    "on_purpose": (
        "Ah, if that was on purpose, it's fine.",
        "Fair enough, then that's your interpretation.",
        "Good to know. Then make it even clearer that you mean it.",
    ),
    "nothing_heard": (
        "I haven't heard you play yet. Play me a few lines, then ask me again.",
        "I'd love to comment, but I haven't heard any music yet. Play me a phrase or two.",
        "Play something first, a line or two is enough, and I'll gladly comment.",
    ),
    "too_little": (
        "That was a bit short for me to judge. Play me some ten or more notes in a row.",
        "I need a little more to go on. A whole line or two would help me.",
        "I only heard a few notes. Play me a longer stretch, and I'll tell you more.",
    ),
    "too_little_for_that": (
        "I haven't heard enough to judge that yet. Play me a few more lines.",
        "I can't say that fairly from what I heard. A longer stretch would help me.",
        "For that I need to hear a bit more. Play on for two or three lines.",
    ),
    "needs_the_music": (
        "I don't have your printed music, so I can't know that. I can only judge what I hear.",
        "That I can't tell without the printed music. Ask me about tempo, rhythm or tuning.",
        "Without seeing the music I'd only be guessing. But I can tell you what I heard.",
    ),
    "needs_eyes": (
        "I only hear you, so I can't judge that. Your teacher can look at it with you.",
        "That's something to be seen, and I only listen. A mirror helps there.",
        "I can't see you well enough for that. But I can tell you how it sounds.",
    ),
    "no_pitch_here": (
        "I can't judge the tuning of single notes here. That works for singing and single lines.",
        "On some instruments the tuning isn't the player's, so I don't judge it here.",
        "I couldn't measure the tuning here. Ask me about tempo or rhythm instead.",
    ),
    "no_take_before": (
        "I've only heard it once so far. Play it again, and I'll compare.",
        "There's nothing to compare with yet. Play it once more for me.",
        "So far it's a single take. Play it again and ask me once more.",
    ),
    "nothing_said_yet": (
        "I haven't said anything yet. Shall I tell you what I heard?",
        "There's nothing to repeat yet. Just ask me to comment.",
        "I haven't commented yet. Ask me how it was.",
    ),
    "not_understood": (
        "I didn't quite get that. Ask me about tempo, rhythm, tuning or dynamics.",
        "Sorry, I'm not sure what you mean. I can talk about tempo, rhythm, tuning or loudness.",
        "Could you ask that differently? For example: how was my rhythm?",
    ),
    "no_amount": (
        "I can't put a number on that one, I only heard that it was so.",
        "That I can't measure exactly. It was clear to hear, though.",
        "I have no exact number for that.",
    ),
    "no_place": (
        "It was so all the way through.",
        "It wasn't one place, it was the whole take.",
        "That went through the whole take.",
    ),
    "no_single_note": (
        "It wasn't about a single note, it was the playing as a whole.",
        "No single note, it was the way the whole take went.",
        "I don't mean one note there, but all of it together.",
    ),
    "all_good": (
        "I didn't hear anything that needs mending there.",
        "Nothing to complain about there.",
        "I'm happy with that.",
    ),
    "no_tempo": (
        "I couldn't find a clear beat in that, so I can't name a tempo.",
        "There wasn't a clear enough beat to name the tempo.",
        "I can't tell the tempo yet. Play me a few bars with a clear beat.",
    ),
}

STATEMENTS: Mapping[str, tuple[str, ...]] = {
    "lead": (
        "Good that you ask about that.",
        "Let's look at that.",
        "I listened for that.",
        "That's a good thing to ask.",
    ),
    "tempo": (
        "You played at about {tempo} beats a minute.",
        "Your tempo was around {tempo} beats a minute.",
        "It went at about {tempo} beats a minute.",
    ),
    "tempo_or_slower": (
        "At about {tempo} beats a minute, or {alternative} if you count longer beats.",
        "About {tempo} beats a minute. With longer beats, that is {alternative}.",
        "It went at about {tempo} beats a minute, or at {alternative} counted in longer beats.",
    ),
    "tempo_or_faster": (
        "At about {tempo} beats a minute, or {alternative} if you count shorter beats.",
        "About {tempo} beats a minute. With shorter beats, that is {alternative}.",
        "It went at about {tempo} beats a minute, or at {alternative} counted in shorter beats.",
    ),
    "how_fast_drift": (
        "You began at {first} beats a minute and ended at {last}.",
        "It went from {first} to {last} beats a minute.",
        "The start was at {first}, the end at {last} beats a minute.",
    ),
    "rhythm": (
        "Your notes sat well on the beat.",
        "The rhythm was clear, the notes met the beat.",
        "Rhythmically that was secure.",
    ),
    "pitch": (
        "Your tuning was fine overall.",
        "The pitch was all right on the whole.",
        "Most notes were close to where they belong.",
    ),
    "dynamics_arch": (
        "The music grew to its middle and settled again.",
        "You shaped it: louder in the middle, softer at the ends.",
        "It had an arch, fuller in the middle.",
    ),
    "dynamics_rising": (
        "It grew louder towards the end.",
        "You built it up, the end was the loudest.",
        "The sound got fuller as you went on.",
    ),
    "dynamics_falling": (
        "It got softer towards the end.",
        "You began strongly and ended softly.",
        "The sound faded bit by bit.",
    ),
    "dynamics_level": (
        "The loudness stayed much the same throughout.",
        "It was fairly level in loudness.",
        "There was little change from loud to soft.",
    ),
    "articulation": (
        "Your notes began and ended cleanly enough.",
        "The touch was consistent.",
        "Your articulation matched from note to note.",
    ),
    "balance": (
        "The high and the low notes were about equally loud.",
        "Tune and accompaniment were nearly the same in strength.",
        "Both voices were about as strong.",
    ),
    "ending": (
        "You kept the speed up to the last note, without broadening.",
        "The ending went straight on in tempo.",
        "You ended in tempo, you could take a little more time there.",
    ),
    "unseen": (
        "Without the printed music I can't be sure of every note, though.",
        "But I can't see your music, so check the notes yourself.",
        "I only know what fits the key, not what is printed.",
    ),
    "notes_fine": (
        "Nothing sounded foreign to the key.",
        "All the notes fitted together well.",
        "No note stood out as wrong.",
    ),
    "no_fault": (
        "There's nothing to mend, so let's make it more musical.",
        "That was fine, so here's something to grow with.",
        "It doesn't need fixing, but you can take it further.",
    ),
    "help": (
        "Here's what helps.",
        "Try this.",
        "That can be practised.",
        "There's a good way to work on that.",
    ),
    "practise": (
        "I'd work on one thing first.",
        "Take this for your practice.",
        "Let's keep it simple.",
    ),
    "check": (
        "Then play the whole line again and listen for it.",
        "A few minutes of that a day will do.",
        "Do that calmly, then play it for me again.",
        "When that's easy, put it back into the piece.",
    ),
    "repeat": ("Of course.", "Gladly, once more.", "Sure, I said this."),
    "compare_better": (
        "Yes, that was better.",
        "Yes, I can hear the difference.",
        "It was, well done.",
    ),
    "compare_same": (
        "It was about the same as before.",
        "Not much changed yet.",
        "I heard about the same, so keep at it.",
    ),
    "compare_worse": (
        "The time before was a little better.",
        "Not quite, the earlier one was closer.",
        "That happens: the last one was a bit better.",
    ),
    "compare_drift": (
        "Now it went from {first} to {last}, before from {first_before} to {last_before}.",
        "This time {first} to {last} beats a minute, last time {first_before} to {last_before}.",
        "Your tempo went {first} to {last}, against {first_before} to {last_before}.",
    ),
    "compare_stops": (
        "You stopped for {gap} this time, and for {gap_before} before.",
        "The longest stop was {gap}, the time before {gap_before}.",
        "There was a stop of {gap}, and one of {gap_before} the last time.",
    ),
    "compare_uneven": (
        "I listened to the pairs of short notes.",
        "That's about how even the quick notes were.",
        "I mean the evenness of the quick notes.",
    ),
    "compare_tuning": (
        "I listened to the tuning.",
        "That's about how well it was in tune.",
        "I mean the pitch.",
    ),
    "compare_wrong": (
        "I listened for notes that don't fit.",
        "That's about the wrong notes.",
        "I mean the notes that didn't belong.",
    ),
    "compare_missed": (
        "I listened for the gaps.",
        "That's about the missing notes.",
        "I mean the notes that were left out.",
    ),
    "which_note": (
        "The {note}, {place}.",
        "It's the {note}, {place}.",
        "I mean the {note}, {place}.",
    ),
    "how_much_drift": (
        "From {first} to {last} beats a minute, about {percent} percent.",
        "It changed by about {percent} percent, from {first} to {last}.",
        "About {percent} percent: {first} beats a minute became {last}.",
    ),
    "how_much_unsteady": (
        "It strayed by about {unsteadiness} percent around {tempo} beats a minute.",
        "About {unsteadiness} percent to either side of {tempo} beats a minute.",
        "The beat varied by about {unsteadiness} percent.",
    ),
    "how_much_uneven": (
        "The first note of each pair took about {share} percent of it, where even is half.",
        "About {share} percent of each pair went to its first note.",
        "The pairs were split at about {share} percent instead of in half.",
    ),
    "how_much_stops": (
        "The longest stop was {gap_exact}.",
        "It was {gap_exact} longer than the music's own pace.",
        "You waited {gap_exact} there.",
    ),
    "how_much_tries": (
        "I heard you go back {times}.",
        "You went back {times}.",
        "There were {count} restarts.",
    ),
    "how_much_missed": (
        "I think you left out {count} notes.",
        "I heard room for {count} notes that weren't there.",
        "About {count} notes were missing.",
    ),
    "how_much_wrong": (
        "I heard {count} notes that didn't fit.",
        "There were {count} notes that don't belong, I think.",
        "I counted {count} notes that didn't fit.",
    ),
    "how_much_tuning": (
        "It's about {cents} cents, that's {part}.",
        "About {cents} cents {direction}, so {part}.",
        "A tuner would show about {cents} cents {direction}.",
    ),
    "how_much_spread": (
        "The same note varied by about {spread} cents.",
        "About {spread} cents to either side.",
        "A tuner would show about {spread} cents up and down.",
    ),
    "how_much_dynamics": (
        "Soft and loud were only {range} apart.",
        "The whole range was {range}.",
        "{range} between soft and loud.",
    ),
    "how_much_accent": (
        "It was {decibels} louder than its neighbours.",
        "{decibels} above the notes around it.",
        "It stuck out by {decibels}.",
    ),
    "how_much_balance": (
        "The low notes were {decibels} louder.",
        "{decibels}, in favour of the low notes.",
        "The low voice was ahead by {decibels}.",
    ),
    "where": (
        "That was {place}.",
        "It happened {place}.",
        "You'll find it {place}.",
    ),
    "where_after": (
        "That was {place}, about {since} in.",
        "It happened {place}, about {since} after you began.",
        "You'll find it {place}, about {since} from the start.",
    ),
    "why": ("A good question.", "That's quite common.", "That happens to everybody."),
    "more": ("Yes, one more thing.", "There is something else.", "Since you ask, yes."),
    "nothing_more": (
        "That was the main thing.",
        "No, nothing else that matters now.",
        "I'd leave it at that for now.",
    ),
    "good": ("Certainly!", "Oh yes.", "Yes, there was.", "Of course there was."),
    "good_effort": (
        "You listened and you kept working, and that's what counts.",
        "You dared to play it for me, and that's how it gets better.",
        "You took your time with it, that's the right way to learn.",
    ),
    "slower_yes": (
        "Yes, try {practice} beats a minute until it feels easy.",
        "Yes, a calmer {practice} would help you there.",
        "I would. Take it at {practice} and go up step by step.",
    ),
    "slower_no": (
        "You needn't, {tempo} suits you well.",
        "No need, you were secure at {tempo}.",
        "Only if you like. At {tempo} it was under control.",
    ),
    "faster_yes": (
        "You can. It was secure at {tempo}, so go up a little at a time.",
        "If you like. Go up from {tempo} in small steps.",
        "Yes, {tempo} was easy for you, so try a little more.",
    ),
    "faster_no": (
        "Not yet. Make it safe at {practice} first.",
        "I'd wait with that, and first get it secure at {practice}.",
        "First calmly at {practice}, the speed will come.",
    ),
    "note_off": (
        "Your {note} was {direction}, {part}.",
        "No, the {note} came out {direction}, {part}.",
        "The {note} was {direction} against the others, {part}.",
    ),
    "note_fine": (
        "Yes, your {note} was in tune with the others.",
        "Your {note} was fine.",
        "The {note} sat well with the other notes.",
    ),
    "meaning": ("Good question.", "Gladly.", "Let me explain."),
}
"""Plain facts, leads and answers to follow-ups, by name."""
