import { WORRIES } from './lexicon.ts';
import type { Genre } from './world.ts';

const OPENING =
  '(Once there was {a.intro} who lived near {home}. {home.there}|In a village by {home} lived {a.intro} and everybody there knew {a.him}. |Near {home} lived {a.intro} . {home.there}|There was once {a.intro} in the house next to {home}. )';

/** A thing is lost where the owner was before; others are asked; it turns up where the first paragraph told. */
export const lostThing: Genre = (world) => {
  for (const name of ['a', 'b', 'c']) world.character(name);
  for (const name of ['home', 'first', 'second', 'third']) world.place(name);
  world.thing('t');
  world.weather('w');
  world.words('f', WORRIES, 1);
  const { first, second, third } = world.bindings;
  const route = [first, second, third] as string[];
  const where = world.rng.integer(3);
  const wrong = route[(where + 1 + world.rng.integer(2)) % 3]!;
  world.bind('home', { there: world.tell('(There {home.seen}. |)') });
  const found = { found: route[where]!, wrong };
  return [
    world.tell('(The {t.noun} of {a}|{a} and the {t}|The lost {t.noun})'),
    world.tell(
      `${OPENING}{a} had a {t}. (It was a present from {a.his} (grandmother|uncle|best friend), and {a.he}|{a}) (liked|loved) to {t.does}.`,
    ),
    world.tell(
      '(It was {day}. In the morning|On {day} morning) {w.now}, but {a} went out (all the same|anyway) and took the {t} along. First {a.he} went to {first}, then to {second}, and (in the end|at last) to {third}. At {first} {first.seen}. (At {third} {third.seen}, and {a} stayed there until {w.later}. |When {w.later}, {a.he} walked home. )',
    ),
    world.tell(
      '(In the evening|Before supper|Back at {home}) {a} (wanted to {t.does}|looked for the {t}). But the {t.noun} was (gone|not there)! {a} (looked under the bed, behind the door and in every pocket|turned the whole house upside down). (Nothing.|It was nowhere.) {a} was very {f1}.',
    ),
    world.tell(
      '"(Have you seen my {t}|Do you know where my {t.noun} is)?" {a} asked {b}, the {b.kind} next door. "(Think back|Be calm)," said {b}. "(Where were you today|Where did you go this morning)?" "(At|I was at) {first}, at {second} and at {third}," said {a}.',
    ),
    world.tell(
      'So they went back to {wrong} (together|at once), (but the {t} was not there|but there was nothing to be found). (On the way|There|At the corner) they met {c}, a {c.kind}. "{a}, (you left something|I saw something {t.color} that must be yours) at {found}," said {c}. "It is a {t}."',
      found,
    ),
    world.tell(
      '{a} ran to {found} as fast as {a.he} could. (And there it was|There, where {a.he} had rested, lay the {t})! "(Thank you|Thanks to both of you), {b}! Thank you, {c}!" (said|cried) {a}, and was {f1} no longer.',
      found,
    ),
    world.tell(
      '(From that day on {a} looked back once before leaving any place.|Since then {a} never goes home from {found} without counting {a.his} things.|That night {a} (slept well|fell asleep at once), and the {t} lay next to {a.him}.)',
      found,
    ),
  ];
};

/** Things change hands along a chain, and the last lines tell who has what now. */
export const exchange: Genre = (world) => {
  for (const name of ['a', 'b', 'c']) world.character(name);
  for (const name of ['t', 'u', 'v']) world.thing(name);
  world.place('p');
  world.place('q');
  world.words('f', WORRIES, 1);
  const questions = [
    'Who has the {t} now? {b} has it. Who has the {u}? {c} has it. And the {v}? It belongs to {a}.',
    'So in the end {a} had the {v}, {b} had the {t} and {c} had the {u}.',
    'Now the {t} is with {b}, the {u} is with {c} and the {v} is with {a}. (Everybody was content.|All three were glad.)',
  ];
  return [
    world.tell('(The {t.noun}, the {u.noun} and the {v.noun}|Three friends exchange|A good exchange)'),
    world.tell(
      '{a}, {b} and {c} were friends. {a} was a {a.kind}, {b} was a {b.kind} and {c} was a {c.kind}. {a} had a {t}, {b} had a {u}, and {c} had a {v}. (Each of them wanted something else.|But none of them was content.)',
    ),
    world.tell(
      'One day {a} met {b} at {p}, where {p.seen}. "(What a fine {u.noun}|I like your {u.noun})," said {a}. "(Will you give it to me for my {t}|Would you take my {t} for it)?" "(Yes, why not|With pleasure|Gladly)," said {b}. "I have always wanted to {t.does}." So {a} took the {u} and {b} took the {t}.',
    ),
    world.tell(
      '(The next day|A little later|On {day}) {a} came to {q} with the {u}. There stood {c}. (The {c.kind} looked {f1}.|) "(What is the matter|Why do you look at my {u.noun} like that), {c}?" asked {a}. "I have a {v}, but I would like to have your {u.noun} and {u.does}," {c} said. "Then take it, and give me the {v}," said {a}. "I would like to {v.does}." {c} was (happy|delighted) and took the {u}.',
    ),
    world.tell(
      `(In the evening they sat together at {p}.|When they met again, they laughed.|That is how it went.) (${questions.join('|')})`,
    ),
  ];
};

/** A riddle is asked, wrong guesses are made, the answer wins a prize named at the start. */
export const hiddenThing: Genre = (world) => {
  for (const name of ['a', 'b']) world.character(name);
  for (const name of ['home', 'p', 'q', 'r']) world.place(name);
  world.thing('t');
  world.thing('u');
  world.weather('w');
  world.bind('home', { there: '' });
  return [
    world.tell('(The secret of {a}|Where is the {t.noun}?|The hidden {t.noun})'),
    world.tell(
      `${OPENING}{a} had a secret. In a hole (behind|near|under) {p} {a.he} had hidden a {t}. Nobody knew, (only {b} the {b.kind}|not even {b}, {a.his} best friend). (In another hole, at {q}, there was only a {u}.|{a.his} {u}, on the other hand, lay at {q} for all to see.)`,
    ),
    world.tell(
      'One {season} evening {w.now}, and {a} had to go away for a long time. "{b}, (listen well|come close)!" (said|whispered) {a}. "(Behind|Near) {p} there is my {t}. (Keep it for me|Take care of it) until I am back." "(I promise|You have my word)," said {b}. {a} went past {r}, where {r.seen}, and was gone.',
    ),
    world.tell(
      'Weeks (passed|went by). (Then people came to {q} and took the {u} away.|At {q} somebody found the {u} and carried it off.) {b} was worried. Every {day} {b} went to {p} and looked. The {t} was (still|always) there. (Once {b} even polished it.|Once a crow wanted it, but {b} was quicker.|)',
    ),
    world.tell(
      'When {w.later} and the next {season} came, {a} returned by way of {r}. "(Is my {t.noun} still there|How is my {t.noun}), {b}?" {a.he} asked. "It is where you left it, (behind|near) {p}," said {b}. "But the {u} is gone from {q}." "(Never mind the {u.noun}|The {u.noun} does not matter)," said {a} and (laughed|smiled). "A friend who keeps a promise is worth more than (any {u.noun}|a hundred things)."',
    ),
    world.tell(
      'Then they went to {p} together. {a} took out the {t}, and from then on both of them could {t.does}.',
    ),
  ];
};
