CREATE TABLE choirs (party TEXT, chairs INTEGER, proxy TEXT, address TEXT);
INSERT INTO choirs VALUES
('Maric', 79, 'Musum', 'Fipen'),
('Jilon', 237, 'Pifoff', 'Rikov'),
('Sovel', 932, 'Bemak', 'Hevoff'),
('Lakski', 704, 'Musum', 'Fipen'),
('Fuvin', 708, 'Musum', 'Pemon'),
('Diloff', 669, 'Favis', 'Rikov'),
('Ninel', 590, 'Pifoff', 'Hevoff'),
('Keper', 378, 'Pifoff', 'Rofoff'),
('Yipel', 23, 'Bemak', 'Pemon'),
('Sinov', 58, 'Musum', 'Guric');

CREATE TABLE inlets (address TEXT, seller TEXT, bumps INTEGER);
INSERT INTO inlets VALUES
('Fipen', 'Yeger', 419),
('Pemon', 'Yeger', 726),
('Rikov', 'Nugel', 127),
('Hevoff', 'Nugel', 243),
('Rofoff', 'Repak', 545),
('Guric', 'Yeger', 996);

CREATE TABLE drawers (player TEXT, folds INTEGER, organ TEXT, folk TEXT);
INSERT INTO drawers VALUES
('Riter', 264, 'Vemov', 'Teboff'),
('Joter', 436, 'Vemov', 'Siron'),
('Kikov', 376, 'Honov', 'Yupis'),
('Tuken', 78, 'Vemov', 'Zedski'),
('Kipis', 986, 'Degak', 'Teboff'),
('Funen', 544, 'Honov', 'Perin'),
('Serak', 675, 'Degak', 'Siron'),
('Nasel', 179, 'Vumer', 'Hefis'),
('Wadoff', 776, 'Vemov', 'Zedski'),
('Pefer', 222, 'Degak', 'Yupis');

CREATE TABLE exams (folk TEXT, part TEXT, inputs INTEGER);
INSERT INTO exams VALUES
('Siron', 'Sadic', 62),
('Teboff', 'Banum', 75),
('Yupis', 'Meven', 130),
('Zedski', 'Banum', 186),
('Hefis', 'Sadic', 568),
('Perin', 'Sadic', 31);

CREATE TABLE goats (flower TEXT, sacks INTEGER, vessel TEXT, nation TEXT);
INSERT INTO goats VALUES
('Vogin', 670, 'Zumski', 'Raten'),
('Ralin', 496, 'Bivak', 'Homis'),
('Bilen', 61, 'Bivak', 'Siber'),
('Fusic', 404, 'Wosis', 'Nozen'),
('Puzov', 642, 'Wosis', 'Siber'),
('Vemov', 157, 'Bivak', 'Migis'),
('Vonin', 101, 'Vizic', 'Raten'),
('Hedski', 755, 'Wosis', 'Nozen'),
('Dizum', 322, 'Zumski', 'Jokin'),
('Yuber', 616, 'Bivak', 'Homis');

CREATE TABLE pilots (nation TEXT, fires INTEGER, envoy TEXT);
INSERT INTO pilots VALUES
('Raten', 748, 'Janel'),
('Nozen', 173, 'Janel'),
('Homis', 73, 'Janel'),
('Siber', 347, 'Konin'),
('Jokin', 707, 'Pisel'),
('Migis', 48, 'Konin');

CREATE TABLE whales (planner TEXT, euros INTEGER, sage TEXT, scene TEXT);
INSERT INTO whales VALUES
('Mefski', 482, 'Dikoff', 'Sikis'),
('Jikak', 436, 'Mamon', 'Yoris'),
('Ritis', 534, 'Sipel', 'Hiloff'),
('Rifak', 463, 'Dikoff', 'Higen'),
('Wogov', 959, 'Sipel', 'Sikis'),
('Wutin', 444, 'Makak', 'Rutic'),
('Dumon', 556, 'Dikoff', 'Hiloff'),
('Razel', 998, 'Makak', 'Mater'),
('Berel', 52, 'Dikoff', 'Yoris'),
('Kuloff', 776, 'Sipel', 'Higen');

CREATE TABLE burgers (scene TEXT, quota INTEGER, kind TEXT);
INSERT INTO burgers VALUES
('Higen', 611, 'Jadis'),
('Hiloff', 561, 'Fulak'),
('Sikis', 907, 'Fulak'),
('Yoris', 284, 'Jadis'),
('Rutic', 35, 'Jadis'),
('Mater', 810, 'Jazoff');

CREATE TABLE comics (harbor TEXT, sides INTEGER, start TEXT, bride TEXT);
INSERT INTO comics VALUES
('Token', 711, 'Bemak', 'Besis'),
('Yekic', 623, 'Bemak', 'Yutis'),
('Suzel', 151, 'Bemak', 'Dufak'),
('Habin', 31, 'Yoken', 'Yutis'),
('Lomel', 506, 'Yoken', 'Fuvov'),
('Hosski', 926, 'Yefoff', 'Fuvov'),
('Maben', 833, 'Yefoff', 'Besis'),
('Jalum', 448, 'Gofen', 'Javon'),
('Huvis', 776, 'Bemak', 'Fefski'),
('Pafen', 990, 'Yefoff', 'Fefski');

CREATE TABLE members (bride TEXT, pipe TEXT, lag INTEGER);
INSERT INTO members VALUES
('Fefski', 'Joden', 878),
('Besis', 'Munoff', 249),
('Fuvov', 'Munoff', 218),
('Yutis', 'Joden', 70),
('Dufak', 'Munoff', 556),
('Javon', 'Mofov', 832);

CREATE TABLE tubes (joiner TEXT, idol TEXT, corners INTEGER, caterer TEXT);
INSERT INTO tubes VALUES
('Vebov', 'Siloff', 680, 'Gisski'),
('Gudak', 'Bezak', 376, 'Zonski'),
('Foten', 'Zezic', 257, 'Zugel'),
('Nadum', 'Gaden', 782, 'Titin'),
('Hafel', 'Gaden', 274, 'Lezov'),
('Kegon', 'Siloff', 750, 'Zonski'),
('Migak', 'Zezic', 113, 'Zugel'),
('Lovel', 'Siloff', 144, 'Titin'),
('Selic', 'Gaden', 173, 'Tover'),
('Sukov', 'Gaden', 238, 'Lezov');

CREATE TABLE terms (caterer TEXT, lines INTEGER, warden TEXT);
INSERT INTO terms VALUES
('Lezov', 427, 'Puker'),
('Zugel', 253, 'Lufel'),
('Titin', 806, 'Vomen'),
('Zonski', 87, 'Vomen'),
('Gisski', 743, 'Puker'),
('Tover', 50, 'Vomen');

CREATE TABLE shores (status TEXT, spaces INTEGER, sender TEXT, mood TEXT);
INSERT INTO shores VALUES
('Sulin', 930, 'Bitoff', 'Sikon'),
('Lesin', 43, 'Bitoff', 'Sikon'),
('Botic', 956, 'Bitoff', 'Hikis'),
('Degen', 37, 'Fulin', 'Hikis'),
('Vamen', 971, 'Kotis', 'Kuven'),
('Diner', 387, 'Makum', 'Sezin'),
('Dubin', 456, 'Makum', 'Pegak'),
('Pekski', 459, 'Fulin', 'Hetak'),
('Defen', 231, 'Bitoff', 'Hetak'),
('Hagis', 501, 'Makum', 'Sezin');

CREATE TABLE tigers (mood TEXT, plots INTEGER, machine TEXT);
INSERT INTO tigers VALUES
('Hikis', 581, 'Lusen'),
('Sikon', 855, 'Lusen'),
('Hetak', 216, 'Yosel'),
('Sezin', 862, 'Yosel'),
('Pegak', 299, 'Lusen'),
('Kuven', 401, 'Loker');

CREATE TABLE alleys (school TEXT, fuel TEXT, knocks INTEGER, sister TEXT);
INSERT INTO alleys VALUES
('Muris', 'Tebic', 353, 'Besoff'),
('Gavski', 'Rizin', 168, 'Sanoff'),
('Gibak', 'Hepoff', 636, 'Dabel'),
('Rapoff', 'Hepoff', 969, 'Yatin'),
('Wipoff', 'Tebic', 48, 'Sanoff'),
('Kusel', 'Rizin', 602, 'Yatin'),
('Sevel', 'Rizin', 271, 'Dabel'),
('Nibic', 'Rizin', 552, 'Safer'),
('Vemski', 'Hepoff', 335, 'Safer'),
('Mugak', 'Taric', 830, 'Wasen');

CREATE TABLE pearls (sister TEXT, source TEXT, draws INTEGER);
INSERT INTO pearls VALUES
('Sanoff', 'Zalel', 329),
('Safer', 'Zalel', 612),
('Yatin', 'Fepin', 269),
('Dabel', 'Fepin', 756),
('Wasen', 'Zalel', 538),
('Besoff', 'Tukoff', 506);

CREATE TABLE stables (method TEXT, planner TEXT, coins INTEGER, brand TEXT);
INSERT INTO stables VALUES
('Mudin', 'Nidon', 703, 'Yusin'),
('Netel', 'Dubak', 618, 'Fufoff'),
('Mipen', 'Dubak', 849, 'Bubin'),
('Piger', 'Luvic', 842, 'Yumis'),
('Lokis', 'Gisak', 730, 'Fufoff'),
('Guvel', 'Nidon', 197, 'Yezen'),
('Fevin', 'Nidon', 236, 'Yupov'),
('Puron', 'Nidon', 531, 'Yezen'),
('Kakic', 'Gisak', 953, 'Bubin'),
('Silov', 'Dubak', 743, 'Yusin');

CREATE TABLE frogs (brand TEXT, boxes INTEGER, island TEXT);
INSERT INTO frogs VALUES
('Yezen', 177, 'Sizin'),
('Yusin', 44, 'Pigic'),
('Fufoff', 734, 'Sizin'),
('Bubin', 620, 'Lumon'),
('Yumis', 385, 'Pigic'),
('Yupov', 903, 'Sizin');

CREATE TABLE saunas (usher TEXT, bearer TEXT, misses INTEGER, family TEXT);
INSERT INTO saunas VALUES
('Dutic', 'Hizic', 885, 'Mugin'),
('Sevum', 'Polski', 957, 'Dufum'),
('Fazen', 'Polski', 46, 'Mamski'),
('Deroff', 'Yuron', 163, 'Mugin'),
('Zeler', 'Polski', 434, 'Dedel'),
('Yodel', 'Yuron', 616, 'Wiroff'),
('Veter', 'Polski', 455, 'Dufum'),
('Nuron', 'Hizic', 87, 'Dedel'),
('Vimak', 'Yuron', 556, 'Wiroff'),
('Hogski', 'Vopic', 716, 'Meron');

CREATE TABLE cookers (family TEXT, firm TEXT, courts INTEGER);
INSERT INTO cookers VALUES
('Dufum', 'Passki', 708),
('Wiroff', 'Delic', 25),
('Dedel', 'Miver', 971),
('Mugin', 'Miver', 833),
('Mamski', 'Delic', 585),
('Meron', 'Miver', 832);

CREATE TABLE waves (food TEXT, margin INTEGER, joiner TEXT, world TEXT);
INSERT INTO waves VALUES
('Rapis', 137, 'Sovski', 'Lopak'),
('Vorski', 533, 'Sovski', 'Kalon'),
('Jabak', 296, 'Sovski', 'Finum'),
('Jufis', 265, 'Tevoff', 'Tupum'),
('Wisov', 168, 'Sovski', 'Fegin'),
('Welski', 150, 'Mufov', 'Bekov'),
('Zazel', 113, 'Mufov', 'Fegin'),
('Basoff', 93, 'Mufov', 'Kalon'),
('Tafer', 10, 'Tevoff', 'Finum'),
('Tirin', 203, 'Nozic', 'Bekov');

CREATE TABLE routes (world TEXT, flats INTEGER, tailor TEXT);
INSERT INTO routes VALUES
('Fegin', 253, 'Fevis'),
('Finum', 148, 'Zavel'),
('Kalon', 531, 'Kezic'),
('Bekov', 115, 'Kezic'),
('Tupum', 753, 'Fevis'),
('Lopak', 654, 'Kezic');

CREATE TABLE mules (sauce TEXT, burns INTEGER, nation TEXT, head TEXT);
INSERT INTO mules VALUES
('Masel', 217, 'Dusum', 'Tikis'),
('Lever', 753, 'Judis', 'Lesum'),
('Mobon', 274, 'Bidov', 'Lesum'),
('Lakel', 525, 'Vibin', 'Refoff'),
('Nazoff', 91, 'Vibin', 'Fapak'),
('Galak', 186, 'Bidov', 'Guzum'),
('Mugski', 671, 'Vibin', 'Guzum'),
('Bevel', 830, 'Vibin', 'Fapak'),
('Pogel', 828, 'Dusum', 'Ligin'),
('Solic', 531, 'Bidov', 'Ligin');

CREATE TABLE towers (head TEXT, rule TEXT, suits INTEGER);
INSERT INTO towers VALUES
('Guzum', 'Japon', 999),
('Fapak', 'Haker', 142),
('Ligin', 'Haker', 696),
('Lesum', 'Japon', 313),
('Refoff', 'Haker', 525),
('Tikis', 'Hirov', 893);

CREATE TABLE helpers (porter TEXT, joiner TEXT, trades INTEGER, fabric TEXT);
INSERT INTO helpers VALUES
('Zikic', 'Rarel', 820, 'Werski'),
('Numoff', 'Mosoff', 416, 'Tufer'),
('Kuton', 'Rarel', 241, 'Mubum'),
('Vanoff', 'Mosoff', 904, 'Detski'),
('Yelin', 'Nekski', 25, 'Detski'),
('Kutoff', 'Mosoff', 735, 'Mubum'),
('Muzum', 'Hotski', 173, 'Wudel'),
('Feron', 'Hotski', 614, 'Werski'),
('Paner', 'Mosoff', 116, 'Nogoff'),
('Pigen', 'Rarel', 386, 'Tufer');

CREATE TABLE fences (fabric TEXT, chests INTEGER, heir TEXT);
INSERT INTO fences VALUES
('Werski', 82, 'Lisis'),
('Tufer', 488, 'Lisis'),
('Detski', 271, 'Wufon'),
('Mubum', 349, 'Safin'),
('Nogoff', 980, 'Wufon'),
('Wudel', 48, 'Lisis');

CREATE TABLE woods (owner TEXT, rewards INTEGER, goddess TEXT, status TEXT);
INSERT INTO woods VALUES
('Kaber', 874, 'Tumoff', 'Hikis'),
('Jegon', 366, 'Tumoff', 'Duder'),
('Mazin', 453, 'Tumoff', 'Fomoff'),
('Fevic', 109, 'Tumoff', 'Duder'),
('Hokin', 753, 'Hadoff', 'Roner'),
('Zovoff', 709, 'Hadoff', 'Roner'),
('Yapin', 379, 'Hadoff', 'Fomoff'),
('Yemel', 656, 'Hosen', 'Bomis'),
('Tebov', 237, 'Nomak', 'Mugen'),
('Taboff', 641, 'Hosen', 'Bomis');

CREATE TABLE pines (status TEXT, summit TEXT, inputs INTEGER);
INSERT INTO pines VALUES
('Fomoff', 'Tidov', 963),
('Roner', 'Nedon', 432),
('Bomis', 'Nedon', 154),
('Duder', 'Jofin', 986),
('Mugen', 'Nedon', 451),
('Hikis', 'Tidov', 439);

CREATE TABLE rovers (fabric TEXT, tune TEXT, price INTEGER, basin TEXT);
INSERT INTO rovers VALUES
('Kozis', 'Putic', 433, 'Hanon'),
('Pogic', 'Nokov', 654, 'Tegis'),
('Dotel', 'Vubin', 965, 'Finer'),
('Kipum', 'Jorin', 633, 'Kinis'),
('Dipel', 'Vubin', 437, 'Finer'),
('Sivak', 'Putic', 502, 'Mekski'),
('Zonin', 'Jorin', 452, 'Tegis'),
('Wufon', 'Vubin', 854, 'Mekski'),
('Siroff', 'Putic', 270, 'Hanon'),
('Jumen', 'Vubin', 649, 'Nadski');

CREATE TABLE swords (basin TEXT, loads INTEGER, source TEXT);
INSERT INTO swords VALUES
('Hanon', 910, 'Geris'),
('Finer', 131, 'Betak'),
('Mekski', 94, 'Geris'),
('Tegis', 697, 'Betak'),
('Kinis', 719, 'Betak'),
('Nadski', 36, 'Faken');

CREATE TABLE heroes (herald TEXT, fans INTEGER, staff TEXT, station TEXT);
INSERT INTO heroes VALUES
('Jubov', 332, 'Polum', 'Yeter'),
('Wegis', 358, 'Novum', 'Fugic'),
('Wobov', 760, 'Paker', 'Woden'),
('Lepis', 937, 'Novum', 'Fugic'),
('Wogis', 549, 'Paker', 'Foker'),
('Finov', 360, 'Polum', 'Fegen'),
('Karak', 767, 'Novum', 'Woden'),
('Warin', 893, 'Novum', 'Kovic'),
('Tekak', 636, 'Paker', 'Kovic'),
('Zogis', 336, 'Wenoff', 'Yeter');

CREATE TABLE tanks (station TEXT, leaves INTEGER, aroma TEXT);
INSERT INTO tanks VALUES
('Yeter', 140, 'Risak'),
('Kovic', 981, 'Feten'),
('Fugic', 709, 'Risak'),
('Woden', 331, 'Yalon'),
('Fegen', 126, 'Feten'),
('Foker', 730, 'Feten');

CREATE TABLE zones (tint TEXT, mayor TEXT, refunds INTEGER, orator TEXT);
INSERT INTO zones VALUES
('Fuben', 'Wuzis', 448, 'Bodis'),
('Petoff', 'Nanin', 327, 'Nipin'),
('Rapin', 'Popen', 490, 'Dibak'),
('Mulic', 'Popen', 894, 'Dibak'),
('Bemis', 'Wager', 348, 'Romon'),
('Hegen', 'Nanin', 913, 'Gakin'),
('Pulen', 'Nanin', 145, 'Miron'),
('Fofel', 'Wager', 902, 'Bodis'),
('Watel', 'Nanin', 964, 'Romon'),
('Gedov', 'Popen', 533, 'Gakin');

CREATE TABLE liners (orator TEXT, bugs INTEGER, theme TEXT);
INSERT INTO liners VALUES
('Dibak', 507, 'Megis'),
('Romon', 985, 'Megis'),
('Bodis', 704, 'Zezic'),
('Gakin', 658, 'Megis'),
('Miron', 973, 'Lofoff'),
('Nipin', 677, 'Lofoff');

CREATE TABLE flags (gang TEXT, bay TEXT, rooms INTEGER, body TEXT);
INSERT INTO flags VALUES
('Vekin', 'Zidov', 636, 'Tugum'),
('Zedov', 'Legov', 591, 'Gavum'),
('Zisoff', 'Legov', 904, 'Tugum'),
('Minel', 'Yumov', 54, 'Fugen'),
('Sigic', 'Yumov', 89, 'Fugen'),
('Senum', 'Seroff', 331, 'Feker'),
('Zigum', 'Yumov', 336, 'Gapis'),
('Wakis', 'Zidov', 516, 'Feker'),
('Vofum', 'Yumov', 687, 'Gapis'),
('Wogak', 'Legov', 700, 'Gigin');

CREATE TABLE drones (body TEXT, shares INTEGER, player TEXT);
INSERT INTO drones VALUES
('Tugum', 897, 'Kofer'),
('Gapis', 856, 'Gopoff'),
('Fugen', 932, 'Gopoff'),
('Feker', 669, 'Kofer'),
('Gavum', 434, 'Voric'),
('Gigin', 520, 'Gopoff');

CREATE TABLE jars (barber TEXT, author TEXT, loads INTEGER, style TEXT);
INSERT INTO jars VALUES
('Bevak', 'Dazum', 456, 'Busel'),
('Bosen', 'Hufer', 723, 'Busel'),
('Buroff', 'Hufer', 576, 'Wavel'),
('Kuner', 'Dazum', 592, 'Himer'),
('Rapoff', 'Dafic', 172, 'Famis'),
('Movski', 'Dazum', 584, 'Noger'),
('Kuric', 'Hufer', 360, 'Revic'),
('Genis', 'Dafic', 620, 'Wavel'),
('Labum', 'Dazum', 289, 'Himer'),
('Tubak', 'Takis', 57, 'Famis');

CREATE TABLE aprons (style TEXT, stamp TEXT, probes INTEGER);
INSERT INTO aprons VALUES
('Himer', 'Wifel', 410),
('Wavel', 'Yavon', 56),
('Famis', 'Jukin', 437),
('Busel', 'Wifel', 602),
('Revic', 'Wifel', 94),
('Noger', 'Yavon', 318);

CREATE TABLE wagons (herald TEXT, packs INTEGER, mouth TEXT, porter TEXT);
INSERT INTO wagons VALUES
('Wober', 697, 'Datis', 'Jigak'),
('Povic', 443, 'Geser', 'Ruzski'),
('Tulov', 483, 'Datis', 'Mudski'),
('Ronen', 937, 'Yeric', 'Yopak'),
('Yogin', 829, 'Juroff', 'Yopak'),
('Repen', 636, 'Yeric', 'Ruzski'),
('Dodis', 472, 'Datis', 'Wumic'),
('Tuboff', 750, 'Juroff', 'Jigak'),
('Virer', 463, 'Yeric', 'Mudski'),
('Wuven', 563, 'Yeric', 'Yivov');

CREATE TABLE foxes (porter TEXT, chairs INTEGER, mentor TEXT);
INSERT INTO foxes VALUES
('Jigak', 396, 'Vitov'),
('Ruzski', 585, 'Janski'),
('Yopak', 30, 'Namak'),
('Mudski', 407, 'Vitov'),
('Yivov', 87, 'Vitov'),
('Wumic', 452, 'Namak');
