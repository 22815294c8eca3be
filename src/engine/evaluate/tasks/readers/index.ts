import type { TaskName } from '../../../../config/index.ts';
import type { Question } from '../question.ts';
import type { Row } from '../row.ts';
import { questionOf as arc } from './arc.ts';
import { questionOf as boolq } from './boolq.ts';
import { questionOf as hellaswag } from './hellaswag.ts';
import { questionOf as openbookqa } from './openbookqa.ts';
import { questionOf as piqa } from './piqa.ts';
import { questionOf as socialIqa } from './social-iqa.ts';
import { questionOf as winogrande } from './winogrande.ts';

/** Makes the question of a row, in the prompt of lm-evaluation-harness. @throws UserError `tasks/row`. */
export type QuestionReader = (row: Row) => Question;

export const QUESTION_READERS: Readonly<Record<TaskName, QuestionReader>> = {
  boolq,
  piqa,
  social_iqa: socialIqa,
  hellaswag,
  winogrande,
  arc_easy: arc,
  arc_challenge: arc,
  openbookqa,
};
