import type { Rng } from '../../src/engine/rotation/random.ts';
import { type Bindings, expand, pick, pickSeveral, tidy } from './grammar.ts';
import * as lexicon from './lexicon.ts';

const PRONOUNS = {
  she: { he: 'she', him: 'her', his: 'her', self: 'herself' },
  he: { he: 'he', him: 'him', his: 'his', self: 'himself' },
} as const;

/**
 * One story draws from this world. Nobody and nothing is drawn twice, so names stay unambiguous. A bound thing keeps
 * its color, place and owner to the end.
 */
export class World {
  readonly rng: Rng;
  readonly bindings: Record<string, string> = {};
  readonly #taken = new Set<string>();

  constructor(rng: Rng) {
    this.rng = rng;
    this.bindings.season = pick(rng, lexicon.SEASONS);
    this.bindings.day = pick(rng, lexicon.DAYS);
  }

  /** Draws a value whose key was not drawn in this story. */
  fresh<T>(values: readonly T[], keyOf: (value: T) => string): T {
    const free = values.filter((value) => !this.#taken.has(keyOf(value)));
    const value = pick(this.rng, free);
    this.#taken.add(keyOf(value));
    return value;
  }

  /**
   * Binds a character: `{a}` name, `{a.intro}` its first mention, `{a.kind}`, `{a.trait}` and the pronouns
   * `{a.he}`, `{a.him}`, `{a.his}`, `{a.self}`.
   */
  character(prefix: string): void {
    const { rng } = this;
    const female = rng.integer(2) === 0;
    const who = rng.integer(10);
    const animal = who < 4;
    const names = animal ? lexicon.ANIMAL_NAMES : female ? lexicon.GIRL_NAMES : lexicon.BOY_NAMES;
    const name = this.fresh<string>(names, (value) => value);
    const kind = animal
      ? this.fresh<string>(lexicon.ANIMALS, (value) => value)
      : who < 7
        ? female
          ? 'girl'
          : 'boy'
        : this.fresh<string>(lexicon.JOBS, (value) => value);
    const trait = this.fresh<string>(lexicon.TRAITS, (value) => value);
    const intro = pick(rng, [
      `a ${trait} ${kind} called ${name}`,
      `${name}, a ${trait} ${kind},`,
      `a ${kind} named ${name}`,
    ]);
    this.bind(prefix, { kind, trait, intro, ...PRONOUNS[female ? 'she' : 'he'] }, name);
  }

  /** Binds a place: `{p}` with its article, `{p.seen}`. */
  place(prefix: string): void {
    const place = this.fresh(lexicon.PLACES, (value) => value.name);
    this.bind(prefix, { seen: place.seen }, place.name);
  }

  /** Binds a thing: `{t}` is `red kite`, `{t.noun}` `kite`, `{t.color}`, `{t.does}`. */
  thing(prefix: string): void {
    const thing = this.fresh(lexicon.THINGS, (value) => value.name);
    const color = this.fresh<string>(lexicon.COLORS, (value) => value);
    const size = this.rng.integer(3) === 0 ? `${pick(this.rng, lexicon.SIZES)} ` : '';
    this.bind(prefix, { noun: thing.name, color, does: thing.does }, `${size}${color} ${thing.name}`);
  }

  /** Binds the weather: `{w.now}`, `{w.later}`. */
  weather(prefix: string): void {
    const weather = this.drawWeather();
    this.bind(prefix, { name: weather.name, now: weather.now, later: weather.later }, weather.name);
  }

  /** Draws weather that the season of the story allows. */
  drawWeather(): (typeof lexicon.WEATHER)[number] {
    const cold = this.bindings.season === 'winter';
    return pick(
      this.rng,
      lexicon.WEATHER.filter(({ name }) => cold || (name !== 'snow' && name !== 'frost')),
    );
  }

  /** Binds a list of words, such as feelings, each to its own name. */
  words(prefix: string, values: readonly string[], count: number): void {
    pickSeveral(this.rng, values, count).forEach((value, index) => {
      this.bindings[`${prefix}${index + 1}`] = value;
    });
  }

  bind(prefix: string, fields: Bindings, name?: string): void {
    if (name !== undefined) this.bindings[prefix] = name;
    for (const [field, value] of Object.entries(fields)) this.bindings[`${prefix}.${field}`] = value;
  }

  /** Tells one paragraph from a template. */
  tell(template: string, more: Bindings = {}): string {
    return tidy(expand(template, { ...this.bindings, ...more }, this.rng));
  }
}

/** A kind of story draws its world and tells it, title first, a paragraph per entry. */
export type Genre = (world: World) => string[];
