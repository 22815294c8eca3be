import { LESSONS, RIDDLES, TROUBLES, WORRIES } from './lexicon.ts';
import type { Genre } from './world.ts';

/** A tool that somebody gives at the start mends the trouble near the end. */
export const usefulGift: Genre = (world) => {
  for (const name of ['a', 'b', 'c']) world.character(name);
  for (const name of ['home', 'p', 'q']) world.place(name);
  const { tool, trouble, fix, asked } = world.fresh(TROUBLES, (value) => value.tool);
  const useless = world.fresh(TROUBLES, (value) => value.tool).tool;
  world.weather('w');
  const more = { tool, trouble, fix, asked, useless };
  return [
    world.tell('(The {tool}|The gift of {b}|What the {tool} was good for)', more),
    world.tell(
      'On {a.his} birthday {a} (got two presents|received two things). From {b}, the oldest {b.kind} in the village, came a {tool}; from {c} the {c.kind} came a {useless}. "(A {tool}? What shall I do with it|What is a {tool} good for)?" (thought|wondered) {a}, who was a {a.trait} {a.kind}. "(You will see|One day you will need it|Keep it, you never know)," said {b}.',
      more,
    ),
    world.tell(
      '{a} left the {useless} at home, but (since {b} was watching|to please {b}) {a.he} put the {tool} into {a.his} bag (and forgot it|and thought no more of it). (Then {season} came.|Many days went by.|The year went on.)',
      more,
    ),
    world.tell(
      'One {day} {a} was on the way from {p} to {q}, and {w.now}. (Many people stood in the road.|There was a great noise.|Somebody was shouting.) {a} came closer and saw that {trouble}. "{asked}" (asked|cried) {c}, who was there too. (All looked at each other.|Nobody had an answer.|People shook their heads.)',
      more,
    ),
    world.tell(
      'Then {a} remembered the {tool}. {a.he} (opened the bag|pulled it out), {fix}. (Everybody cheered.|"Well done!" people called.|The whole village clapped.) "(Where did you get that {tool}|Who gave you such a good thing)?" asked {c}. "From {b}," said {a}.',
      more,
    ),
    world.tell(
      'In the evening {a} went to {b}. "You were right about the {tool}," said {a}. {b} only (smiled|nodded) and put another log on the fire. (And the {useless}? It is still lying in a drawer.|{a} has carried the {tool} ever since.|Outside {w.later}.)',
      more,
    ),
  ];
};

/** A fault leads to harm, and harm leads to a lesson. */
export const lesson: Genre = (world) => {
  for (const name of ['a', 'b']) world.character(name);
  for (const name of ['home', 'p']) world.place(name);
  const fault = world.fresh(LESSONS, (value) => value.trait);
  world.words('f', WORRIES, 2);
  world.weather('w');
  return [
    world.tell('(The {trait} {a.kind}|How {a} learned something|{a} and {b})', fault),
    world.tell(
      '{a} was a {a.kind} with many friends, but {a.he} was {trait}. (Everybody at {home} knew it.|"You are too {trait}," {b} the {b.kind} often said.|Nobody was as {trait} as {a}.) {a} (only laughed about that|did not want to hear it).',
      fault,
    ),
    world.tell(
      'One day in {season}, when {w.now}, there was much to do at {p}. {b} asked {a} for help. (And what did {a} do|What happened then)? {a} {deed}. "(It does not matter|That will be all right)," {a.he} thought.',
      fault,
    ),
    world.tell(
      'But (it did matter|nothing was all right): because {a} {deed}, {result}. {b} was {f1}. "(Why did you do that|How could that happen), {a}?" asked {b}. {a} looked at the ground and felt {f2}. "Because I am {trait}," {a} said (at last|quietly).',
      fault,
    ),
    world.tell(
      'They (worked until dark|did not sleep that night|sat down and thought) to put things right, and {w.later}. "(Now I understand|I see it now|I will remember)," said {a}: "{lesson}." {b} (gave {a.him} a hand|nodded). "(That is well said|So it is), {a}."',
      fault,
    ),
    world.tell(
      '(Is {a} still {trait}? Sometimes, but less every {season}.|After that day {a} was not {trait} any more, or only a little.|And if somebody else is {trait}, {a} tells what happened at {p}: {result}.)',
      fault,
    ),
  ];
};

/** Riddles are asked in turn; the prize goes to the person who, as the story told, knows the answer. */
export const riddleContest: Genre = (world) => {
  for (const name of ['a', 'b', 'c']) world.character(name);
  world.place('p');
  world.thing('t');
  const first = world.fresh(RIDDLES, (value) => value.answer);
  const second = world.fresh(RIDDLES, (value) => value.answer);
  const wrong = world.fresh(RIDDLES, (value) => value.answer).answer;
  const winner = world.rng.integer(2) === 0 ? world.bindings.b! : world.bindings.c!;
  const loser = winner === world.bindings.b ? world.bindings.c! : world.bindings.b!;
  const more = {
    first: first.riddle,
    firstAnswer: first.answer,
    second: second.riddle,
    secondAnswer: second.answer,
    wrong,
    winner,
    loser,
  };
  return [
    world.tell('(A riddle for a {t.noun}|The riddles of {a}|{a} asks)'),
    world.tell(
      '(It was a long {season} evening at {p}.|They were all sitting at {p}, where {p.seen}.) {a} the {a.kind} said to {b} and {c}: "I know two riddles. (Who solves both gets my {t}|My {t} is for the one who solves the second)." "(Ask|Go on)!" called {b} and {c}.',
    ),
    world
      .tell(
        '"(Here is the first|The first one is easy)," said {a}. "{first} What is it?" {loser} (scratched {a.his} head|thought for a while). "{wrong}?" "No," said {a}. "Then it is {firstAnswer}," said {winner}. "(Right|Correct|That is right)!" said {a}. "It is {firstAnswer}."',
        { ...more, 'a.his': 'an ear and' },
      )
      .replace('scratched an ear and head', 'scratched one ear'),
    world.tell(
      '"Now (the second|comes the hard one). {second} What is it?" (It grew very quiet.|Nobody spoke.|Outside an owl called.) "(Is it|Could it be) {firstAnswer} again?" asked {loser}. {a} shook {a.his} head. "{secondAnswer}!" (cried|shouted) {winner}. "{secondAnswer} it is," said {a}.',
      more,
    ),
    world.tell(
      'So {winner} (won the {t}|got the {t} and could {t.does}), and {loser} (got a cookie for trying|went home and looked for new riddles). The answers were {firstAnswer} and {secondAnswer}; (do you know another one|would you have known them)?',
      more,
    ),
  ];
};

/** A letter invites somebody, and the answer has to repeat day, place and present. */
export const letters: Genre = (world) => {
  for (const name of ['a', 'b']) world.character(name);
  for (const name of ['p', 'q']) world.place(name);
  world.thing('t');
  world.weather('w');
  world.words('f', WORRIES, 1);
  return [
    world.tell('(A letter for {b}|{a} writes to {b}|Two letters)'),
    world.tell('Dear {b},'),
    world.tell(
      '(how are you?|I hope you are well.) Here at {p} {w.now}, and {p.seen}. I am (a little|rather|very) {f1} because you are so far away. Please come on {day}! (I have a {t} now. We could go to {q} and {t.does}.|We could go to {q}, and I would show you my {t}.) (Bring your warm coat.|Do not forget your boots.|You need not bring anything.)',
    ),
    world.tell('Your (friend|old friend|neighbor) {a}'),
    world.tell('Dear {a},'),
    world.tell(
      '(thank you for your letter|your letter made me laugh|the post came today). I am sorry that you are {f1}. (Of course|Yes,) I will come on {day}. A {t}! (How lucky you are|I have never had one). I want to see {q} too, and I hope for better weather than {w.name}.',
    ),
    world.tell('Your {b}, who is a {b.trait} {b.kind} (as ever|and always in time|)'),
    world.tell(
      'And so it was: on {day} {b} came to {p}, and (before noon|after lunch|in the evening) they went to {q} with the {t}.',
    ),
  ];
};
