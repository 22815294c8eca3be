import { countOf, enumerate, inWords, pickSeveral } from './grammar.ts';
import { COUNTED, DAYS, DISHES, INGREDIENTS } from './lexicon.ts';
import type { Genre } from './world.ts';

/** Things are bought and given away, and the sum has to come out right. */
export const marketSum: Genre = (world) => {
  for (const name of ['a', 'b', 'c']) world.character(name);
  world.place('p');
  const [plural, singular] = world.fresh(COUNTED, (value) => value[0]);
  const { rng } = world;
  const had = 2 + rng.integer(8);
  const bought = 1 + rng.integer(8);
  const total = had + bought;
  const given = 1 + rng.integer(total - 1);
  const left = total - given;
  const count = (value: number) => countOf(value, plural, singular);
  const more = {
    things: plural,
    had: count(had),
    bought: inWords(bought),
    total: count(total),
    given: inWords(given),
    left: count(left),
    hadNumber: String(had),
    boughtNumber: String(bought),
    totalNumber: String(total),
    givenNumber: String(given),
    leftNumber: String(left),
  };
  return [
    world.tell('({a} counts|The {things} of {a}|How many {things}?)', more),
    world.tell(
      '{a} the {a.kind} had {had} (in a basket|in a bag|on the table). (On {day}|In the morning|Today) {a.he} went to {p} and (bought|got|found) {bought} more. Now {a.he} had {total}. ({hadNumber} + {boughtNumber} = {totalNumber}.|)',
      more,
    ),
    world.tell(
      'On the way home {a} met {b}. "(What have you got there|What is in your basket|How many {things} do you have)?" asked {b}. "I have {total}," said {a}. "(May I have some|Could you spare a few)?" said {b}. "(I need {given} for {c}|My friend {c} would like {given})." {a} was {a.trait} (and|but also) kind, and gave {given} to {b}.',
      more,
    ),
    world.tell(
      '({totalNumber} - {givenNumber} = {leftNumber}.|How many were left? {leftNumber}.|) So {a} came home with {left}, and {c} the {c.kind} (got|was glad about) {given}.',
      more,
    ),
  ];
};

/** Ingredients are listed and used later in the same order; one is missing, and somebody named brings it. */
export const recipe: Genre = (world) => {
  for (const name of ['a', 'b', 'c']) world.character(name);
  world.place('p');
  const { rng } = world;
  const dish = world.fresh<string>(DISHES, (value) => value);
  const count = 3 + rng.integer(3);
  const entries = pickSeveral(rng, INGREDIENTS, count);
  const items = entries.map(([item]) => item);
  const missing = items[rng.integer(count)]!;
  const others = items.filter((item) => item !== missing);
  const amounts = entries.map(([item, unit]) => `${2 + rng.integer(5)} ${unit}${item}`);
  const more = {
    dish,
    list: enumerate(items),
    missing,
    others: enumerate(others),
    last: items.at(-1)!,
    first: items[0]!,
  };
  return [
    world.tell('(A {dish} for {b}|The {dish}|{a} is cooking)', more),
    world.tell(
      'It was the birthday of {b}, and {a} wanted to make a {dish}. {a}, a {a.trait} {a.kind}, (took down the book|looked into the old book|asked {a.his} grandmother). For a {dish} one needs:',
      more,
    ),
    ...amounts.map((line, index) => `${index + 1}. ${line}`),
    world.tell(
      '{a} had {others}, but (could not find any {missing}|the {missing} had run out|had forgotten the {missing}). So {a} went to {p} and (met|found) {c}. "{c}, do you have (any|some) {missing}?" "(Take as much as you need|Here you are|Of course)," said {c}. "(What is it for|Are you cooking)?" "For a {dish}," said {a}. "Come and eat with us!"',
      more,
    ),
    world.tell(
      'At home {a} put everything into the pot one after another: {list}. First came {first}, last came {last}. (Soon the whole house smelled of {dish}.|It had to stand on the fire for an hour.|Then {a} waited and set the table.)',
      more,
    ),
    world.tell(
      '{b} (came|arrived) at six with {c}. "A {dish}!" (cried|said) {b}. "(How good it smells|You are a real cook), {a}." "Without the {missing} from {c} it would not be a {dish}," said {a}, and they ate (until nothing was left|until the stars came out).',
      more,
    ),
  ];
};

/** A way leads through places in order, and back in the reverse order. */
export const journey: Genre = (world) => {
  for (const name of ['a', 'b']) world.character(name);
  const count = 3 + world.rng.integer(3);
  const names = Array.from({ length: count }, (_, index) => `p${index}`);
  for (const name of names) world.place(name);
  world.thing('t');
  world.weather('w');
  const places = names.map((name) => world.bindings[name]!);
  const back = [...places].reverse();
  const more = {
    way: enumerate(places),
    back: enumerate(back),
    start: places[0]!,
    goal: places.at(-1)!,
    steps: inWords(count),
  };
  const legs = names.slice(1).map((name, index) => {
    const bindings = {
      here: places[index]!,
      there: world.bindings[name]!,
      seen: world.bindings[`${name}.seen`]!,
    };
    return world.tell(
      '(From {here} {a.he} walked to {there}, where {seen}.|After {here} came {there}. There {seen}.|Behind {here} {a.he} (turned left|turned right|went straight on) and came to {there}, where {seen}.)',
      bindings,
    );
  });
  return [
    world.tell('(The long way of {a}|From {start} to {goal}|{a} brings a {t.noun})', more),
    world.tell(
      '{b} the {b.kind} was ill and lay in bed at {goal}. {a}, a {a.trait} {a.kind}, wanted to bring {b.him} a {t}. (In the morning|On {day}) {w.now}, but {a} left {start} with the {t} under (one|the) arm.',
      more,
    ),
    legs.join(' '),
    world.tell(
      'At {goal} {b} was waiting (at the window|in a warm room). "You came all the way from {start}!" (said|cried) {b}. "(By which way|How did you come)?" "By {way}," said {a} and laid the {t} on the bed. "Now you can {t.does}." {b} (smiled for the first time in days|was well again at once, or almost).',
      more,
    ),
    world.tell(
      'When {w.later}, {a} went home the same way back: {back}. (It was {steps} places and one long walk.|{a} was tired, but glad.|The way back always seems shorter.)',
      more,
    ),
  ];
};

/** A week of weather and work is told, then single days are asked for. */
export const weekDiary: Genre = (world) => {
  world.character('a');
  world.character('b');
  const { rng } = world;
  const first = rng.integer(7);
  const days = Array.from({ length: 4 + rng.integer(3) }, (_, index) => DAYS[(first + index) % 7]!);
  const lines = days.map((day) => {
    world.place(day);
    const weather = world.drawWeather();
    world.bind(day, { weather: weather.name, now: weather.now });
    const here = { day, now: weather.now, place: world.bindings[day]!, seen: world.bindings[`${day}.seen`]! };
    return world.tell(
      'On {day} {now}. (I went to {place}, where {seen}.|I helped at {place} all day.|{b} and I were at {place}.|I stayed at {place} until evening.)',
      here,
    );
  });
  const asked = pickSeveral(rng, days, 2);
  const answers = asked.map((day) =>
    world.tell(
      '(Where was I on {day}? At {place}.|And {day}? That was {place}, and {now}.|On {day} the weather was {weather}.)',
      {
        day,
        place: world.bindings[day]!,
        now: world.bindings[`${day}.now`]!,
        weather: world.bindings[`${day}.weather`]!,
      },
    ),
  );
  return [
    world.tell('(From the diary of {a}|A week with {b}|The week of {a})'),
    ...lines,
    world.tell(
      '(Now I read it all once more.|{b} wants to know everything again.|That was my week.) {answers} (I am tired now.|Good night!|Tomorrow is another day.)',
      { answers: answers.join(' ') },
    ),
  ];
};

/** Two friends want different things, and find one that serves both. */
export const quarrel: Genre = (world) => {
  for (const name of ['a', 'b', 'c']) world.character(name);
  for (const name of ['p', 'q', 'r']) world.place(name);
  world.weather('w');
  const afterwards = {
    order: world.rng.integer(2) === 0 ? 'first to {p}, then to {q}' : 'first to {q}, then to {p}',
  };
  const order = world.tell(afterwards.order).replace(/^F/, 'f');
  return [
    world.tell('({a} and {b} cannot agree|{p} or {q}|The quarrel)'),
    world.tell(
      '"(Let us|I want to|Today we) go to {p}," said {a}. "(No|Never|Oh no)," said {b}. "I want to go to {q}." "At {p} {p.seen}," said {a}. "But at {q} {q.seen}," said {b}. {a} was a {a.kind} and (rather|very) {a.trait}; {b} was a {b.kind} and no less so. (They did not look at each other for an hour.|They shouted until both were tired.)',
    ),
    world.tell(
      'Then {c} the {c.kind} came by from {r}. "Why are you so quiet?" asked {c}. "{a} wants to go to {p}," said {b}. "And {b} wants to go to {q}," said {a}. {c} (laughed|thought about it). "(The day is long|There is time for both|One does not rule out the other): go {order}!"',
      { order },
    ),
    world.tell(
      'So they went {order}. (In the evening {w.now}, but nobody minded.|It was the best day of the whole {season}.|And {c} came along.) "(You were right|I must say it)," said {a}. "{q} is beautiful." "And {p} is too," said {b}.',
      { order },
    ),
  ];
};
