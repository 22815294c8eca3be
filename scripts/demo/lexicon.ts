/** The words of the demo stories. All are common, so that a model of a few million weights can know them all. */

const words = (text: string): readonly string[] => text.split(', ');

export const GIRL_NAMES = words(
  'Mina, Clara, Ada, Ruth, Nell, Ivy, Rosa, Greta, Hanna, Lucy, Olive, Tess, Wanda, Zoe, Ella, Maud',
);
export const BOY_NAMES = words(
  'Tom, Felix, Oscar, Hugo, Ben, Jonas, Karl, Leo, Max, Noah, Otto, Paul, Sam, Theo, Victor, Will',
);
export const ANIMAL_NAMES = words(
  'Bramble, Pip, Moss, Hazel, Copper, Nutmeg, Thistle, Biscuit, Fern, Pepper, Willow, Flint',
);
export const ANIMALS = words(
  'fox, hare, badger, mouse, owl, otter, hedgehog, goose, squirrel, goat, cat, dog, crow, beaver',
);
export const JOBS = words(
  'baker, farmer, miller, teacher, fisher, tailor, shepherd, gardener, clock maker, potter, ferry keeper, librarian',
);

export const TRAITS = words(
  'curious, careful, brave, patient, quiet, cheerful, clever, gentle, stubborn, shy, proud, forgetful',
);

/** Things happen at these places: `name` has the article, `seen` tells a sight there. */
export const PLACES = [
  { name: 'the old mill', seen: 'the big wheel turned slowly in the water' },
  { name: 'the market', seen: 'people called out the price of bread and cheese' },
  { name: 'the river', seen: 'small fish moved between the stones' },
  { name: 'the harbor', seen: 'the boats knocked softly against the wall' },
  { name: 'the library', seen: 'the shelves went all the way up to the roof' },
  { name: 'the orchard', seen: 'the branches were heavy with fruit' },
  { name: 'the bakery', seen: 'the air smelled of warm bread' },
  { name: 'the lighthouse', seen: 'the stairs went round and round' },
  { name: 'the stone bridge', seen: 'moss grew in every crack' },
  { name: 'the school', seen: 'the bell hung above the door' },
  { name: 'the meadow', seen: 'bees went from flower to flower' },
  { name: 'the barn', seen: 'the hay was piled up to the window' },
  { name: 'the pond', seen: 'the ducks slept with their heads under their wings' },
  { name: 'the forest', seen: 'the light fell in thin lines between the trees' },
  { name: 'the hill', seen: 'one could see every roof of the village' },
  { name: 'the station', seen: 'the train had just left' },
  { name: 'the cave', seen: 'water dripped from the ceiling' },
  { name: 'the garden', seen: 'the beans climbed along the fence' },
  { name: 'the beach', seen: 'the waves drew lines in the sand' },
  { name: 'the workshop', seen: 'tools hung in rows on the wall' },
  { name: 'the tower', seen: 'the wind sang in the windows' },
  { name: 'the inn', seen: 'a fire burned in the corner' },
  { name: 'the well', seen: 'the rope creaked in the wind' },
  { name: 'the village square', seen: 'children played around the fountain' },
] as const;

/** People can own, lose and find these things; `does` tells their use. */
export const THINGS = [
  { name: 'kite', does: 'fly it on windy days' },
  { name: 'drum', does: 'play it at every feast' },
  { name: 'scarf', does: 'wear it from the first frost until spring' },
  { name: 'lantern', does: 'carry it on dark evenings' },
  { name: 'book', does: 'read in it before sleeping' },
  { name: 'hat', does: 'wear it in the sun' },
  { name: 'key', does: 'open the small box under the bed with it' },
  { name: 'flute', does: 'play one song on it every morning' },
  { name: 'basket', does: 'carry everything in it' },
  { name: 'ball', does: 'throw it against the wall' },
  { name: 'boat', does: 'let it swim in the rain barrel' },
  { name: 'map', does: 'look at it and dream of far lands' },
  { name: 'blanket', does: 'sleep under it' },
  { name: 'cup', does: 'drink warm milk from it' },
  { name: 'whistle', does: 'call the dog with it' },
  { name: 'box', does: 'keep letters in it' },
  { name: 'clock', does: 'listen to it at night' },
  { name: 'coat', does: 'wear it in bad weather' },
  { name: 'bell', does: 'ring it at noon' },
  { name: 'mirror', does: 'send light signals with it' },
  { name: 'ring', does: 'wear it on a string' },
  { name: 'brush', does: 'paint clouds with it' },
] as const;

export const COLORS = words(
  'red, blue, green, yellow, white, black, brown, gray, orange, purple, golden, silver',
);
export const SIZES = words('small, big, tiny, round, old, new, heavy, light, soft, narrow');

/** Counted things, in plural and singular. */
export const COUNTED = [
  ['apples', 'apple'],
  ['pears', 'pear'],
  ['eggs', 'egg'],
  ['buns', 'bun'],
  ['nuts', 'nut'],
  ['shells', 'shell'],
  ['stones', 'stone'],
  ['buttons', 'button'],
  ['candles', 'candle'],
  ['marbles', 'marble'],
  ['carrots', 'carrot'],
  ['plums', 'plum'],
  ['cookies', 'cookie'],
  ['ribbons', 'ribbon'],
  ['feathers', 'feather'],
  ['coins', 'coin'],
  ['pencils', 'pencil'],
  ['roses', 'rose'],
  ['potatoes', 'potato'],
  ['stamps', 'stamp'],
] as const;

/** Ingredients of a dish, with their measures. */
export const INGREDIENTS = [
  ['flour', 'cups of '],
  ['butter', 'spoons of '],
  ['honey', 'spoons of '],
  ['salt', 'spoons of '],
  ['milk', 'cups of '],
  ['onions', ''],
  ['mushrooms', ''],
  ['cheese', 'pieces of '],
  ['pepper', 'spoons of '],
  ['beans', 'cups of '],
  ['carrots', ''],
  ['cream', 'cups of '],
  ['rice', 'cups of '],
  ['garlic', 'pieces of '],
  ['lemons', ''],
  ['berries', 'cups of '],
  ['nuts', ''],
  ['sugar', 'spoons of '],
] as const;
export const DISHES = words('soup, pie, cake, stew, bread, pudding, porridge, salad');

export const WEATHER = [
  { name: 'rain', now: 'it was raining', later: 'the rain stopped' },
  { name: 'snow', now: 'snow was falling', later: 'the snow melted' },
  { name: 'wind', now: 'a strong wind was blowing', later: 'the wind grew calm' },
  { name: 'fog', now: 'thick fog lay over the fields', later: 'the fog lifted' },
  { name: 'sun', now: 'the sun was shining', later: 'the sun went down' },
  { name: 'frost', now: 'there was frost on the windows', later: 'the frost was gone' },
  { name: 'storm', now: 'a storm was coming from the sea', later: 'the storm passed' },
] as const;

export const DAYS = words('Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday');
export const SEASONS = words('spring, summer, autumn, winter');

export const WORRIES = words('sad, tired, angry, afraid, worried, lonely, unhappy, confused');

/** A tool is given early, and mends the trouble later. */
export const TROUBLES = [
  {
    tool: 'hammer',
    trouble: 'the bridge had lost a plank',
    fix: 'nailed a new plank over the gap',
    asked: 'Who can mend the bridge?',
  },
  {
    tool: 'ladder',
    trouble: 'a cat sat in the tall oak and could not come down',
    fix: 'climbed up and carried the cat down',
    asked: 'Who can reach that branch?',
  },
  {
    tool: 'rope',
    trouble: 'the cart was stuck in the mud',
    fix: 'tied it to the cart and everybody pulled',
    asked: 'How do we get the cart out?',
  },
  {
    tool: 'needle',
    trouble: 'the sail of the boat was torn',
    fix: 'sewed the sail with long stitches',
    asked: 'Who can sew in this wind?',
  },
  {
    tool: 'lantern',
    trouble: 'the path home had vanished in the dark',
    fix: 'lit it and walked in front of all the others',
    asked: 'Can anybody see the path?',
  },
  {
    tool: 'bucket',
    trouble: 'sparks had fallen on the dry hay',
    fix: 'ran to the pond for water again and again until the fire was out',
    asked: 'Where can we get water?',
  },
  {
    tool: 'spade',
    trouble: 'snow had buried the door of the school',
    fix: 'dug a path to the door',
    asked: 'How shall the children get in?',
  },
  {
    tool: 'oil can',
    trouble: 'the gate of the tower would not move',
    fix: 'put three drops on each hinge and the gate swung open',
    asked: 'Who is strong enough to push?',
  },
  {
    tool: 'net',
    trouble: 'a young goose had fallen into the well',
    fix: 'let it down into the well and lifted the goose out',
    asked: 'How can we reach it?',
  },
  {
    tool: 'saw',
    trouble: 'a fallen tree lay across the road',
    fix: 'cut the trunk in two so that it rolled away',
    asked: 'How do we get past the tree?',
  },
  {
    tool: 'whistle',
    trouble: 'the sheep had run in all directions in the fog',
    fix: 'blew it three times and the sheep came back one by one',
    asked: 'How can we call them?',
  },
  {
    tool: 'mirror',
    trouble: 'a ship was sailing straight towards the rocks',
    fix: 'sent flashes of light until the ship turned',
    asked: 'How can we warn them?',
  },
] as const;

/** A fault, its harm and its lesson. */
export const LESSONS = [
  {
    trait: 'proud',
    deed: 'did not ask anybody for help',
    result: 'the wall fell down again',
    lesson: 'asking for help is not a weakness',
  },
  {
    trait: 'greedy',
    deed: 'kept all the berries',
    result: 'half of them went bad',
    lesson: 'what is shared tastes better',
  },
  {
    trait: 'hasty',
    deed: 'did not read the letter to the end',
    result: 'the whole family went to the wrong station',
    lesson: 'a short wait saves a long way',
  },
  {
    trait: 'lazy',
    deed: 'did not bring in the wood',
    result: 'the house was cold for two nights',
    lesson: 'work does not get lighter by waiting',
  },
  {
    trait: 'forgetful',
    deed: 'left the gate open',
    result: 'the goats ate all the cabbage',
    lesson: 'one small act can spare a big one',
  },
  {
    trait: 'stubborn',
    deed: 'took the narrow path although everybody warned against it',
    result: 'the cart lost a wheel',
    lesson: 'a good ear is worth more than a loud voice',
  },
  {
    trait: 'boastful',
    deed: 'told everybody about the secret place',
    result: 'soon there were no mushrooms left',
    lesson: 'some things grow best in silence',
  },
  {
    trait: 'shy',
    deed: 'did not say that the boat was leaking',
    result: 'everybody came home with wet feet',
    lesson: 'a true word should not wait',
  },
  {
    trait: 'impatient',
    deed: 'opened the oven too early',
    result: 'the cake was flat as a plate',
    lesson: 'good things need their time',
  },
  {
    trait: 'careless',
    deed: 'put the candle next to the curtain',
    result: 'the curtain had a big black hole',
    lesson: 'a careful eye is the best friend of the house',
  },
] as const;

export const RIDDLES = [
  { riddle: 'It has teeth but cannot eat.', answer: 'a comb' },
  { riddle: 'It has hands but cannot hold anything.', answer: 'a clock' },
  { riddle: 'It gets wetter the more it dries.', answer: 'a towel' },
  { riddle: 'It has one eye but cannot see.', answer: 'a needle' },
  { riddle: 'It runs all day and never leaves its bed.', answer: 'a river' },
  { riddle: 'It has many leaves but is not a tree.', answer: 'a book' },
  { riddle: 'It follows you in the sun and leaves you in the dark.', answer: 'a shadow' },
  { riddle: 'It speaks without a mouth and answers every shout.', answer: 'an echo' },
  { riddle: 'It goes up when the rain comes down.', answer: 'an umbrella' },
  { riddle: 'It has a neck but no head.', answer: 'a bottle' },
] as const;
